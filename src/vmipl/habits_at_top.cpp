// Habits of bpftrace, DTrace, gdb, SQL and C about what stands at the top of a script.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "vmipl/habits.h"
#include "vmipl/word_pairs.h"

namespace vitrine::vmipl {
namespace {

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool is_made_of(std::string_view text, std::string_view more) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           more.find(c) != std::string_view::npos;
  });
}

/// "Probe(name)", or "Probe("glob*")"; nothing for what could not be written so.
std::string with_name(std::string_view probe, std::string_view name) {
  if (is_made_of(name, "+")) return fmt::format("{}({})", probe, name);
  if (is_made_of(name, "*?")) return fmt::format("{}(\"{}\")", probe, name);
  return {};
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

constexpr std::string_view kFunction = "a probe on a kernel function is `ExecuteAt(symbol)`";
constexpr std::string_view kReturn = "a probe on a function's return is `Return(symbol)`";
constexpr std::string_view kSystemCall = "a probe on a system call is `Syscall(name)`";
constexpr std::string_view kSystemCallReturn =
    "a probe on a system call's end is `SyscallReturn(name)`";
constexpr std::string_view kBegin = "what runs once at the beginning is `Start`";
constexpr std::string_view kEnd = "what runs once at the end is `Stop`";
constexpr std::string_view kAgain = "what runs again and again is `Every(1s)`";
constexpr std::string_view kSampling = "sampling is `Sample(99)`";
constexpr std::string_view kProgram =
    "functions of programs have no probe: their system calls (`Syscall`) and addresses "
    "(`ExecuteAt`) have";
constexpr std::string_view kMemory =
    "a probe on memory is `WriteAt(address, length)`, or ReadAt, AccessAt";
constexpr std::string_view kProvider =
    "probes are not named by providers here: `vitrine probes` lists what there is";
constexpr std::string_view kTracepoint =
    "tracepoints have no probe of their own: kernel functions (`ExecuteAt(symbol)`) have";

ProbeHabit on_function(bool returns, std::string_view name) {
  const std::string_view probe = returns ? "Return" : "ExecuteAt";
  return {probe, with_name(probe, name), returns ? kReturn : kFunction};
}

ProbeHabit on_system_call(bool returns, std::string_view name) {
  const std::string_view probe = returns ? "SyscallReturn" : "Syscall";
  return {probe, name.empty() ? std::string(probe) : with_name(probe, name),
          returns ? kSystemCallReturn : kSystemCall};
}

ProbeHabit tracepoint(std::string_view name) {
  if (name.starts_with("sys_enter_")) return on_system_call(false, name.substr(10));
  if (name.starts_with("sys_exit_")) return on_system_call(true, name.substr(9));
  if (name == "sys_enter" || name == "sys_exit") return on_system_call(name == "sys_exit", {});
  constexpr auto kLife = std::to_array<Pair>({{"sched_process_exec", "ProcessExec"},
                                              {"sched_process_fork", "ProcessStart"},
                                              {"sched_process_exit", "ProcessExit"},
                                              {"module_load", "ModuleLoad"},
                                              {"module_free", "ModuleUnload"}});
  const auto ours = look_up(kLife, name);
  if (!ours.empty())
    return {ours, std::string(ours), "what happens to processes and modules has probes of its own"};
  return {"", "", kTracepoint};
}

/// "hz", "99" and the like.
ProbeHabit timed(bool sampling, std::string_view unit, std::string_view count) {
  const auto number = number_of(count);
  if (sampling)
    return {"Sample", number && unit == "hz" ? fmt::format("Sample({})", *number) : "", kSampling};
  std::string written;
  if (number && (unit == "s" || unit == "ms" || unit == "us"))
    written = fmt::format("Every({}{})", *number, unit);
  if (number && unit == "hz" && *number <= 1000)
    written = fmt::format("Every({}ms)", 1000 / *number);
  return {"Every", std::move(written), kAgain};
}

}  // namespace

std::optional<ProbeHabit> probe_habit(std::string_view head) {
  while (!head.empty() && (head.back() == ' ' || head.back() == '\t')) head.remove_suffix(1);
  if (head == "BEGIN" || head == "begin" || head == "dtrace:::BEGIN")
    return ProbeHabit{"Start", "Start", kBegin};
  if (head == "END" || head == "end" || head == "dtrace:::END")
    return ProbeHabit{"Stop", "Stop", kEnd};

  // DTrace: tick-1s, profile-997.
  for (const std::string_view word : {"tick-", "profile-"}) {
    if (!head.starts_with(word)) continue;
    const auto rest = head.substr(word.size());
    const auto digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    auto unit = rest.substr(digits);
    if (unit == "sec") unit = "s";
    if (unit == "msec") unit = "ms";
    return timed(word == "profile-", unit.empty() ? "hz" : unit, rest.substr(0, digits));
  }

  const auto parts = split(head, ':');
  const auto first = parts.front(), last = parts.back();
  if (parts.size() < 2) {
    // Without anything behind it, only what nobody would call a probe of ours.
    if (first == "kprobe" || first == "fbt") return ProbeHabit{"ExecuteAt", "", kFunction};
    if (first == "kretprobe") return ProbeHabit{"Return", "", kReturn};
    if (first == "tracepoint") return ProbeHabit{"Syscall", "", kSystemCall};
    if (first == "interval" || first == "tick") return ProbeHabit{"Every", "", kAgain};
    if (first == "profile") return ProbeHabit{"Sample", "", kSampling};
    return std::nullopt;
  }
  if (first == "kprobe" || first == "k" || first == "kfunc" || first == "fentry" ||
      first == "ENTER")
    return on_function(false, last);
  if (first == "kretprobe" || first == "kr" || first == "kretfunc" || first == "fexit" ||
      first == "EXIT")
    return on_function(true, last);
  if (first == "tracepoint" || first == "t" || first == "rawtracepoint" || first == "rt")
    return tracepoint(last);
  if (first == "interval" || first == "i") return timed(false, parts[1], last);
  if (first == "profile" || first == "p") return timed(true, parts[1], last);
  if (first == "software" && (parts[1] == "faults" || parts[1] == "page-faults"))
    return ProbeHabit{"Exception", "Exception(14)", "a page fault is exception 14"};
  if (first == "hardware" || first == "h" || first == "software")
    return ProbeHabit{"Sample", "", kSampling};
  if (first == "uprobe" || first == "uretprobe" || first == "u" || first == "ur" ||
      first == "usdt" || first == "pid")
    return ProbeHabit{"", "", kProgram};
  if (first == "watchpoint" || first == "w") {
    // Their last word says which accesses: r, w, rw, x.
    const bool both = last.find('r') != std::string_view::npos;
    const std::string_view ours = last == "x"                                        ? "ExecuteAt"
                                  : both && last.find('w') != std::string_view::npos ? "AccessAt"
                                  : both                                             ? "ReadAt"
                                                                                     : "WriteAt";
    const bool whole = parts.size() >= 3 && is_made_of(parts[1], "");
    std::string written;
    if (whole && last == "x")
      written = fmt::format("{}({})", ours, parts[1]);
    else if (whole && number_of(parts[2]))
      written = fmt::format("{}({}, {})", ours, parts[1], parts[2]);
    return ProbeHabit{ours, std::move(written), kMemory};
  }
  // DTrace: provider:module:function:name.
  if (first == "fbt" || first == "syscall") {
    const bool returns = last == "return";
    const auto name = parts.size() == 4 ? parts[2] : parts.size() == 2 ? last : std::string_view();
    return first == "fbt" ? on_function(returns, name) : on_system_call(returns, name);
  }
  if (first == "proc") {
    constexpr auto kLife = std::to_array<Pair>({{"exec-success", "ProcessExec"},
                                                {"exec", "ProcessExec"},
                                                {"create", "ProcessStart"},
                                                {"start", "ProcessStart"},
                                                {"exit", "ProcessExit"}});
    const auto ours = look_up(kLife, last);
    return ProbeHabit{ours, std::string(ours),
                      "the life of processes is `ProcessStart`, `ProcessExec` and `ProcessExit`"};
  }
  if (parts.size() >= 4) return ProbeHabit{"", "", kProvider};
  return std::nullopt;
}

std::string_view probe_name_habit(std::string_view word) noexcept {
  static constexpr auto kNames = std::to_array<Pair>({
      {"Begin", "Start"},
      {"OnStart", "Start"},
      {"Init", "Start"},
      {"End", "Stop"},
      {"OnStop", "Stop"},
      {"OnEnd", "Stop"},
      {"Interval", "Every"},
      {"Timer", "Every"},
      {"Tick", "Every"},
      {"Periodic", "Every"},
      {"Profile", "Sample"},
      {"Exec", "ProcessExec"},
      {"OnExec", "ProcessExec"},
      {"Fork", "ProcessStart"},
      {"OnFork", "ProcessStart"},
      {"Clone", "ProcessStart"},
      {"ProcessFork", "ProcessStart"},
      {"ProcessCreate", "ProcessStart"},
      {"Exit", "ProcessExit"},
      {"OnExit", "ProcessExit"},
      {"ProcessEnd", "ProcessExit"},
      {"MemoryWrite", "WriteAt"},
      {"OnWrite", "WriteAt"},
      {"Watchpoint", "WriteAt"},
      {"MemoryRead", "ReadAt"},
      {"OnRead", "ReadAt"},
      {"MemoryAccess", "AccessAt"},
      {"Breakpoint", "ExecuteAt"},
      {"OnExecute", "ExecuteAt"},
      {"Function", "ExecuteAt"},
      {"FunctionEntry", "ExecuteAt"},
      {"Kprobe", "ExecuteAt"},
      {"FunctionReturn", "Return"},
      {"FunctionExit", "Return"},
      {"Kretprobe", "Return"},
      {"SyscallEnter", "Syscall"},
      {"SyscallEntry", "Syscall"},
      {"SystemCall", "Syscall"},
      {"SyscallExit", "SyscallReturn"},
      {"SyscallEnd", "SyscallReturn"},
      {"ModuleInit", "ModuleLoad"},
      {"ModuleExit", "ModuleUnload"},
      {"Irq", "Interrupt"},
      {"IRQ", "Interrupt"},
      {"OutPort", "PortWrite"},
      {"InPort", "PortRead"},
      {"OnRequest", "OnExternalRequest"},
      {"CR3Write", "CRWrite"},
  });
  return look_up(kNames, word);
}

std::optional<TopHabit> top_habit(std::string_view line) {
  const auto end = std::min(
      line.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
      line.size());
  const auto word = line.substr(0, end);
  auto rest = line.substr(end);
  const bool apart = rest.starts_with(' ') || rest.starts_with('\t');
  while (rest.starts_with(' ') || rest.starts_with('\t') || rest.starts_with('*'))
    rest.remove_prefix(1);
  const auto operand = rest.substr(0, rest.find_first_of(" \t\r\n;"));
  const bool named = apart && is_made_of(operand, "+&");
  constexpr auto kDebugger = std::to_array<Pair>({{"break", "ExecuteAt"},
                                                  {"b", "ExecuteAt"},
                                                  {"tbreak", "ExecuteAt"},
                                                  {"hbreak", "ExecuteAt"},
                                                  {"watch", "WriteAt"},
                                                  {"rwatch", "ReadAt"},
                                                  {"awatch", "AccessAt"}});
  if (const auto ours = look_up(kDebugger, word); !ours.empty() && named) {
    return TopHabit{fmt::format("`{}` is a debugger's; a probe says what is done there", word),
                    fmt::format("{}({}) {{ Print(\"%s\\n\", process.name) }}", ours, operand)};
  }
  constexpr auto kExamine = std::to_array<std::string_view>({"x", "p", "print", "display", "info"});
  if (std::ranges::find(kExamine, word) != kExamine.end() && (named || rest.starts_with('/')))
    return TopHabit{
        fmt::format("`{}` is a debugger's; what is looked at once stands in Start", word),
        "Start { Print(\"%x\\n\", u64(jiffies)) }"};
  constexpr auto kQueries =
      std::to_array<std::string_view>({"select", "SELECT", "Select", "from", "FROM"});
  if (std::ranges::find(kQueries, word) != kQueries.end() && apart)
    return TopHabit{"rows of a view come one by one, in a probe's block",
                    "Start { for (p in processes) if (p.uid == 0) Print(\"%s\\n\", p.name) }"};
  constexpr auto kTypes = std::to_array<std::string_view>(
      {"int", "void", "char", "long", "short", "unsigned", "signed", "static", "bool", "float",
       "double", "uint64_t", "uint32_t", "u64", "u32"});
  if (std::ranges::find(kTypes, word) != kTypes.end() && apart) {
    const bool function = line.find('(') < line.find('=');
    return function ? TopHabit{"a function is declared with `fn`, and types are not written",
                               "fn name(x) { return x }"}
                    : TopHabit{
                          "what is known before the start is declared with `const`; what "
                          "changes is a map",
                          "const limit = 10, @count in a block"};
  }
  constexpr auto kTags = std::to_array<std::string_view>({"struct", "union", "enum", "typedef"});
  if (std::ranges::find(kTags, word) != kTags.end() && apart)
    return TopHabit{"types are the guest's own, and known: none is declared",
                    "((struct task_struct *)a)->pid"};
  if (word == "import" || word == "include" || word == "using" || word == "use")
    if (apart) return TopHabit{"there is nothing to include: the guest's types are known", ""};
  if (word == "config" && line.find('=') != std::string_view::npos)
    return TopHabit{
        "limits are the language's own and are not set; what the guest is like is told by "
        "Configuration { key: value }",
        ""};
  return std::nullopt;
}

std::optional<unsigned> exception_habit(std::string_view word) noexcept {
  // Intel SDM vol. 3A, table 6-1, and what Linux calls their handlers.
  struct Exception {
    unsigned vector;
    std::string_view brief, handler;
  };
  static constexpr auto kExceptions =
      std::to_array<Exception>({{0, "DE", "divide_error"},
                                {1, "DB", "debug"},
                                {2, "NMI", "nmi"},
                                {3, "BP", "int3"},
                                {4, "OF", "overflow"},
                                {5, "BR", "bounds"},
                                {6, "UD", "invalid_op"},
                                {7, "NM", "device_not_available"},
                                {8, "DF", "double_fault"},
                                {10, "TS", "invalid_tss"},
                                {11, "NP", "segment_not_present"},
                                {12, "SS", "stack_segment"},
                                {13, "GP", "general_protection"},
                                {14, "PF", "page_fault"},
                                {16, "MF", "coprocessor_error"},
                                {17, "AC", "alignment_check"},
                                {18, "MC", "machine_check"},
                                {19, "XM", "simd_coprocessor_error"},
                                {21, "CP", "control_protection"}});
  for (const std::string_view prefix : {"asm_", "exc_"}) {
    if (word.starts_with(prefix)) word.remove_prefix(prefix.size());
  }
  for (const auto& exception : kExceptions) {
    if (word == exception.brief || word == exception.handler) return exception.vector;
  }
  return std::nullopt;
}

}  // namespace vitrine::vmipl
