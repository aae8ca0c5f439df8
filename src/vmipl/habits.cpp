#include "vmipl/habits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace vitrine::vmipl {
namespace {

struct Pair {
  std::string_view theirs, ours;
};

template <std::size_t N>
std::string_view look_up(const std::array<Pair, N>& pairs, std::string_view word) {
  for (const auto& pair : pairs) {
    if (pair.theirs == word) return pair.ours;
  }
  return {};
}

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
  if (first == "hardware" || first == "h" || first == "software")
    return ProbeHabit{"Sample", "", kSampling};
  if (first == "uprobe" || first == "uretprobe" || first == "u" || first == "ur" ||
      first == "usdt" || first == "pid")
    return ProbeHabit{"", "", kProgram};
  if (first == "watchpoint" || first == "w") {
    const bool whole =
        parts.size() >= 3 && is_made_of(parts[1], "") && number_of(parts[2]).has_value();
    return ProbeHabit{"WriteAt", whole ? fmt::format("WriteAt({}, {})", parts[1], parts[2]) : "",
                      "a probe on memory is `WriteAt(address, length)`"};
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
  return std::nullopt;
}

std::span<const StatementHabit> statement_habits() noexcept {
  using Before = StatementHabit::Before;
  constexpr std::string_view kLet = "variables are declared with `let`";
  constexpr std::string_view kType =
      "a variable is declared with `let`; its type is that of its value";
  constexpr std::string_view kOwn =
      "what a thread keeps for itself stands in a map with the thread as its key";
  constexpr std::string_view kBounded = "for (i in 0..1000) { if (...) break; ... }";
  static constexpr auto kHabits = std::to_array<StatementHabit>({
      {"while", Before::call, "there is no `while`: every loop is bounded", "", kBounded},
      {"do", Before::name, "there is no `do`: every loop is bounded", "", kBounded},
      {"unroll", Before::call, "loops need no unrolling: for (i in 0..10) { ... }", "", ""},
      {"foreach", Before::call, "a loop is written `for (row in view)`", "for", ""},
      {"switch", Before::call, "there is no `switch`: use if / else", "", ""},
      {"goto", Before::name, "there is no `goto`", "", ""},
      {"var", Before::name, kLet, "let", ""},
      {"auto", Before::name, kLet, "let", ""},
      {"local", Before::name, kLet, "let", ""},
      {"int", Before::name, kType, "let", ""},
      {"long", Before::name, kType, "let", ""},
      {"char", Before::name, kType, "let", ""},
      {"string", Before::name, kType, "let", ""},
      {"bool", Before::name, kType, "let", ""},
      {"u64", Before::name, kType, "let", ""},
      {"u32", Before::name, kType, "let", ""},
      {"uint64_t", Before::name, kType, "let", ""},
      {"uint32_t", Before::name, kType, "let", ""},
      {"self", Before::arrow, kOwn, "",
       "@name[thread.tid] = ...; delete(@name[thread.tid]) when it is done with"},
      {"this", Before::arrow, "what lives as long as its block is declared with `let`", "",
       "let name = ..."},
      {"printf", Before::call, "printing is `Print(format, values...)`", "Print", ""},
      {"print_f", Before::call, "printing is `Print(format, values...)`", "Print", ""},
      {"println", Before::call, "printing is `Print(format, values...)`", "Print",
       "it adds no newline: write \\n"},
      {"trace", Before::call, "printing is `Print(format, values...)`", "",
       "Print(\"%d\\n\", value)"},
      {"printa", Before::call, "a map is printed by `print(@map)`", "", ""},
      {"exit", Before::call, "a script ends itself with `Stop()`", "Stop", ""},
      {"select", Before::name, "rows of a view come one by one", "",
       "for (p in processes) if (p.uid == 0) { Print(\"%s\\n\", p.name) }"},
      {"SELECT", Before::name, "rows of a view come one by one", "",
       "for (p in processes) if (p.uid == 0) { Print(\"%s\\n\", p.name) }"},
  });
  return kHabits;
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

std::string_view value_habit(std::string_view word) noexcept {
  static constexpr auto kValues = std::to_array<Pair>({{"comm", "process.name"},
                                                       {"execname", "process.name"},
                                                       {"pid", "process.pid"},
                                                       {"ppid", "process.ppid"},
                                                       {"tid", "thread.tid"},
                                                       {"uid", "process.uid"},
                                                       {"gid", "process.gid"},
                                                       {"cgroup", "process.cgroup"},
                                                       {"nsecs", "now"},
                                                       {"timestamp", "now"},
                                                       {"walltimestamp", "now"},
                                                       {"elapsed", "now"},
                                                       {"retval", "ret"},
                                                       {"curtask", "thread.task"},
                                                       {"curthread", "thread.task"},
                                                       {"cpu_id", "cpu"},
                                                       {"func", "event.symbol"},
                                                       {"probefunc", "event.symbol"},
                                                       {"null", "0"},
                                                       {"NULL", "0"},
                                                       {"nullptr", "0"},
                                                       {"stack", "kstack"}});
  return look_up(kValues, word);
}

std::string_view function_habit(std::string_view word) noexcept {
  static constexpr auto kFunctions =
      std::to_array<Pair>({{"str", "string"},         {"kstr", "string"},
                           {"hist", "histogram"},     {"lhist", "linear"},
                           {"quantize", "histogram"}, {"lquantize", "linear"},
                           {"ksym", "symbol"},        {"strlen", "len"},
                           {"buf", "bytes"},          {"copyinstr", "string"},
                           {"stringof", "string"},    {"strcontains", "contains"},
                           {"tolower", "lower"},      {"sizeof_", "sizeof"},
                           {"uint8", "u8"},           {"uint16", "u16"},
                           {"uint32", "u32"},         {"uint64", "u64"},
                           {"average", "avg"},        {"mean", "avg"}});
  return look_up(kFunctions, word);
}

std::string_view view_habit(std::string_view word) noexcept {
  static constexpr auto kViews = std::to_array<Pair>({{"procs", "processes"},
                                                      {"ps", "processes"},
                                                      {"tasks", "processes"},
                                                      {"tasklist", "processes"},
                                                      {"pslist", "processes"},
                                                      {"process_list", "processes"},
                                                      {"connections", "sockets"},
                                                      {"netstat", "sockets"},
                                                      {"ss", "sockets"},
                                                      {"tcp", "sockets"},
                                                      {"listening_ports", "sockets"},
                                                      {"process_open_sockets", "sockets"},
                                                      {"lsmod", "modules"},
                                                      {"kernel_modules", "modules"},
                                                      {"drivers", "modules"},
                                                      {"dmesg", "kernel_log"},
                                                      {"log", "kernel_log"},
                                                      {"lsof", "files"},
                                                      {"fds", "files"},
                                                      {"open_files", "files"},
                                                      {"process_open_files", "files"},
                                                      {"vmas", "maps"},
                                                      {"mappings", "maps"},
                                                      {"memory_map", "maps"},
                                                      {"kallsyms", "symbols"},
                                                      {"syscalls", "syscall_table"},
                                                      {"mountpoints", "mounts"},
                                                      {"mount", "mounts"}});
  return look_up(kViews, word);
}

std::string_view operator_habit(std::string_view word) noexcept {
  static constexpr auto kOperators =
      std::to_array<Pair>({{"and", "&&"}, {"AND", "&&"}, {"or", "||"}, {"OR", "||"}});
  return look_up(kOperators, word);
}

std::span<const std::string_view> field_habit(std::string_view word) noexcept {
  struct Field {
    std::string_view theirs;
    std::array<std::string_view, 2> ours;
    std::size_t count;
  };
  static constexpr auto kFields = std::to_array<Field>({{"comm", {"name", ""}, 1},
                                                        {"command", {"cmdline", "name"}, 2},
                                                        {"cmd", {"cmdline", "name"}, 2},
                                                        {"execname", {"name", ""}, 1},
                                                        {"exe", {"path", ""}, 1},
                                                        {"executable", {"path", ""}, 1},
                                                        {"file", {"path", ""}, 1},
                                                        {"filename", {"path", "name"}, 2},
                                                        {"id", {"pid", "tid"}, 2},
                                                        {"process_id", {"pid", ""}, 1},
                                                        {"parent", {"ppid", ""}, 1},
                                                        {"user", {"uid", ""}, 1},
                                                        {"group", {"gid", ""}, 1},
                                                        {"memory", {"rss", "size"}, 2},
                                                        {"mem", {"rss", "size"}, 2},
                                                        {"resident_size", {"rss", ""}, 1},
                                                        {"vsz", {"vsize", ""}, 1},
                                                        {"total_size", {"vsize", ""}, 1},
                                                        {"args", {"cmdline", ""}, 1},
                                                        {"argv", {"cmdline", ""}, 1},
                                                        {"status", {"state", ""}, 1},
                                                        {"start", {"start_time", "address"}, 2},
                                                        {"addr", {"address", ""}, 1},
                                                        {"base", {"address", ""}, 1},
                                                        {"message", {"text", ""}, 1},
                                                        {"msg", {"text", ""}, 1},
                                                        {"namespace", {"pid_namespace", ""}, 1},
                                                        {"namespaces", {"pid_namespace", ""}, 1},
                                                        {"proto", {"protocol", "kind"}, 2},
                                                        {"local_address", {"local", ""}, 1},
                                                        {"remote_address", {"remote", ""}, 1},
                                                        {"port", {"local_port", "local"}, 2},
                                                        {"mountpoint", {"path", "target"}, 2}});
  for (const auto& field : kFields) {
    if (field.theirs == word) return {field.ours.data(), field.count};
  }
  return {};
}

}  // namespace vitrine::vmipl
