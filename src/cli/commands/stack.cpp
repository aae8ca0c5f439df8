// vitrine stack: what threads and CPUs are doing: their stacks, innermost frame first.
#include <fmt/core.h>

#include <charconv>
#include <map>
#include <tuple>

#include "cli/collect.h"
#include "cli/columns.h"
#include "cli/commands/families.h"
#include "cli/fixed_view.h"

namespace vitrine::cli {
namespace {

using linux::Column;
using linux::ColumnType;

enum : std::size_t {
  kPid,
  kTid,
  kName,
  kCpu,
  kMode,
  kFrame,
  kAddress,
  kSymbol,
  kWhere,
  kStack,
  kSource,
  kReliable
};

constexpr Column kColumns[] = {
    {"pid", ColumnType::integer, "pid of its process; 0: an idle task"},
    {"tid", ColumnType::integer, "the thread"},
    {"name", ColumnType::text, "its name"},
    {"cpu", ColumnType::integer, "CPU on which it runs now; missing: it does not run"},
    {"mode", ColumnType::text, "kernel or user: on which side the frame lies"},
    {"frame", ColumnType::integer, "0 is the innermost of its side"},
    {"address", ColumnType::address, "where the function goes on"},
    {"symbol", ColumnType::text, "the function, and how far into it"},
    {"where", ColumnType::text, "the module, or the mapped file"},
    {"stack", ColumnType::text, "as in the view kernel_stacks"},
    {"source", ColumnType::text, "as in the views kernel_stacks and user_stacks"},
    {"reliable", ColumnType::boolean, "no guess was needed up to here"},
};
constexpr linux::ViewInfo kInfo = {"stack", "stacks of threads, frame by frame", kColumns,
                                   "by thread, then the kernel's frames before the program's",
                                   "tid cpu mode frame"};

struct Frame {
  std::vector<linux::Value> values = std::vector<linux::Value>(std::size(kColumns));
  std::string doubt;
};

struct Thread {
  std::string name;
  std::optional<std::int64_t> cpu;
  std::vector<Frame> kernel, user;
};

/// By pid, tid and, of idle tasks, CPU.
using Threads = std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, Thread>;

bool is_missing(const linux::Value& value) { return std::holds_alternative<std::monostate>(value); }

void take(const Collected& collected, bool kernel, Threads& threads) {
  // pid tid name cpu frame address symbol (module|file) source [stack reliable]
  for (const auto& row : collected.rows) {
    const auto& values = row.values;
    const auto pid = Collected::integer(values[0]), tid = Collected::integer(values[1]);
    const bool runs = !is_missing(values[3]);
    auto& thread = threads[{pid, tid, pid == 0 ? Collected::integer(values[3]) : 0}];
    thread.name = Collected::text(values[2]);
    if (runs) thread.cpu = Collected::integer(values[3]);
    Frame frame;
    frame.doubt = row.doubt;
    for (std::size_t i = 0; i < 4; ++i) frame.values[i] = values[i];
    frame.values[kMode] = std::string(kernel ? "kernel" : "user");
    frame.values[kFrame] = values[4];
    frame.values[kAddress] = values[5];
    frame.values[kSymbol] = values[6];
    frame.values[kWhere] = values[7];
    frame.values[kSource] = values[8];
    if (kernel) {
      frame.values[kStack] = values[9];
      frame.values[kReliable] = values[10];
    }
    (kernel ? thread.kernel : thread.user).push_back(std::move(frame));
  }
}

void print_side(const std::vector<Frame>& frames, std::string_view title, Console& console) {
  if (frames.empty()) return;
  console.out.write(fmt::format("  {}\n", title));
  std::string stack = "task";
  for (const auto& frame : frames) {
    if (const auto on = Collected::text(frame.values[kStack]); !on.empty() && on != stack) {
      console.out.write(fmt::format("    {}\n", console.dim(fmt::format("-- {} stack", on))));
      stack = on;
    }
    if (is_missing(frame.values[kAddress])) {
      console.out.write(fmt::format("    ? {}\n", escape(frame.doubt, console.charset)));
      continue;
    }
    auto line = fmt::format("    {:#018x}  {}", Collected::address(frame.values[kAddress]),
                            escape(Collected::text(frame.values[kSymbol]), console.charset));
    if (const auto where = Collected::text(frame.values[kWhere]); !where.empty()) {
      line += fmt::format("{}[{}]", is_missing(frame.values[kSymbol]) ? "" : " ",
                          escape(where, console.charset));
    }
    const auto source = Collected::text(frame.values[kSource]);
    if (source == "guess" || source == "hooked" || source == "interrupted")
      line += fmt::format("  ({})", source);
    if (!frame.doubt.empty()) line += "  ? " + escape(frame.doubt, console.charset);
    if (!console.out.write(line + "\n")) return;
  }
}

void print(const Threads& threads, Console& console) {
  bool first = true;
  for (const auto& [key, thread] : threads) {
    const auto [pid, tid, unused] = key;
    auto title = fmt::format("{}, pid {}", escape(thread.name, console.charset), pid);
    if (tid != pid) title += fmt::format(", tid {}", tid);
    if (thread.cpu) title += fmt::format(", on CPU {}", *thread.cpu);
    console.out.write(fmt::format("{}{}\n", first ? "" : "\n", console.bold(title)));
    first = false;
    print_side(thread.kernel, "in the kernel", console);
    print_side(thread.user, "in its program", console);
  }
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto pids = TRY(parse_pids(words));
  std::optional<std::int64_t> cpu;
  if (const auto text = words.value("--cpu")) {
    std::int64_t number = -1;
    const auto* end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, number);
    if (error != std::errc() || stop != end || number < 0) {
      return std::unexpected(Problem(Errc::invalid, fmt::format("--cpu: \"{}\" is no CPU", *text),
                                     "for example: --cpu 0"));
    }
    cpu = number;
  }
  if (cpu && !pids.empty()) {
    return std::unexpected(Problem(Errc::invalid, "--cpu and --pid: choose one"));
  }
  auto session = TRY(Session::open(context, words));
  Threads threads;
  const auto kernel = TRY(collect("kernel_stacks",
                                  {"pid", "tid", "name", "cpu", "frame", "address", "symbol",
                                   "module", "source", "stack", "reliable"},
                                  pids, context, session));
  take(kernel, true, threads);
  const auto user = TRY(collect(
      "user_stacks", {"pid", "tid", "name", "cpu", "frame", "address", "symbol", "file", "source"},
      pids, context, session));
  take(user, false, threads);
  if (cpu) std::erase_if(threads, [&](const auto& one) { return one.second.cpu != cpu; });
  if (const auto absent = TRY(absent_pids(pids, context, session)); !absent.empty()) {
    return std::unexpected(no_process(absent, session));
  }
  if (threads.empty() && (cpu || !pids.empty())) {
    return std::unexpected(cpu ? Problem(Errc::not_found,
                                         fmt::format("nothing was seen on CPU {}", *cpu),
                                         "list them: vitrine show cpus")
                               : Problem(Errc::not_found, "no thread of that process has a stack",
                                         "it is about to end"));
  }
  auto status = kernel.status == Status::done ? user.status : kernel.status;
  if (words.has("--json")) {
    status = std::max(
        status,
        TRY(run_fixed_view(kInfo, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
          for (const auto& [key, thread] : threads) {
            for (const auto* side : {&thread.kernel, &thread.user}) {
              for (const auto& frame : *side) {
                rows.begin();
                for (std::size_t i = 0; i < frame.values.size(); ++i) rows.set(i, frame.values[i]);
                if (!frame.doubt.empty()) rows.doubt(frame.doubt);
                if (!rows.end()) return {};
              }
            }
          }
          return {};
        })));
  } else {
    print(threads, context.console);
  }
  TRY(session.still_there());
  return status == Status::done ? session.status() : status;
}

}  // namespace

Command stack_command() {
  return {
      .name = "stack",
      .group = "Look",
      .summary = "what threads and CPUs are doing: their stacks",
      .operands = {{"VM", Words::machine}},
      .options = {{"--pid", "N[,N]", "the threads of these processes alone", Words::number},
                  {"--cpu", "N", "what runs on this CPU alone", Words::number},
                  {"--json", "", "one JSON object a frame"},
                  {"--no-cache", "", "recover the kernel's symbols and types anew"}},
      .description =
          "In the kernel by its own ORC tables, across the stacks of interrupts and exceptions; in "
          "programs by frame pointers, with the names that the guest's page cache holds. A machine "
          "that runs is not stopped: a stack that changed while it was read is marked. The views "
          "kernel_stacks and user_stacks have more columns.",
      .examples = {"vitrine stack web1 --pid 842", "vitrine stack web1 --cpu 0"},
      .run = run};
}

}  // namespace vitrine::cli
