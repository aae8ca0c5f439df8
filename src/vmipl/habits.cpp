#include "vmipl/habits.h"

#include <array>

#include "vmipl/word_pairs.h"

namespace vitrine::vmipl {
std::span<const StatementHabit> statement_habits() noexcept {
  using Before = StatementHabit::Before;
  constexpr std::string_view kLet = "variables are declared with `let`";
  constexpr std::string_view kType =
      "a variable is declared with `let`; its type is that of its value";
  constexpr std::string_view kOwn =
      "what a thread keeps for itself stands in a map with the thread as its key";
  constexpr std::string_view kPrinting = "printing is `Print(format, values...)`";
  constexpr std::string_view kRows = "rows of a view come one by one";
  constexpr std::string_view kForRows =
      "for (p in processes) if (p.uid == 0) { Print(\"%s\\n\", p.name) }";
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
      {"printf", Before::call, kPrinting, "Print", ""},
      {"print_f", Before::call, kPrinting, "Print", ""},
      {"println", Before::call, kPrinting, "Print", "it adds no newline: write \\n"},
      {"trace", Before::call, kPrinting, "", "Print(\"%d\\n\", value)"},
      {"printa", Before::call, "a map is printed by `print(@map)`", "print", ""},
      {"print", Before::name, kPrinting, "", "Print(\"%x\\n\", reg.rax)"},
      {"p", Before::name, kPrinting, "", "Print(\"%x\\n\", reg.rax)"},
      {"echo", Before::name, kPrinting, "", "Print(\"%s\\n\", process.name)"},
      {"info", Before::name, "a debugger's `info` is a value here: reg.rip, kstack, process.name",
       "", "Print(\"%s\\n\", kstack)"},
      {"exit", Before::call, "a script ends itself with `Stop()`", "Stop", ""},
      {"select", Before::name, kRows, "", kForRows},
      {"SELECT", Before::name, kRows, "", kForRows},
  });
  return kHabits;
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
                                                       {"bt", "kstack"},
                                                       {"backtrace", "kstack"},
                                                       {"exit", "Stop()"},
                                                       {"quit", "Stop()"},
                                                       {"time", "now"},
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

std::string_view function_hint(std::string_view word) noexcept {
  static constexpr auto kHints = std::to_array<Pair>(
      {{"strcmp", "text is compared by == and !="},
       {"strncmp", "starts_with(text, part)"},
       {"strstr", "contains(text, part)"},
       {"regex", "matches(text, \"pattern*\")"},
       {"trunc", "clear(@map) empties a map; print(@map, 10) prints its greatest"},
       {"zero", "clear(@map) empties a map"},
       {"time", "%t prints a time: Print(\"%t\\n\", now)"},
       {"strftime", "%t prints a time: Print(\"%t\\n\", now)"},
       {"system",
        "a script runs nothing on the host: print a record, and let another program read it"},
       {"signal", "Kill(pid), Pause(), Stop()"},
       {"raise", "Kill(pid), Pause(), Stop()"},
       {"join", "process.cmdline is the arguments, joined"},
       {"kaddr", "a symbol's name is its address"},
       {"uaddr", "an address of a program is a number"},
       {"usym", "ustack prints a program's functions by name"},
       {"reg", "a register's value is reg.rip"},
       {"ntop", "an address's bytes are numbers: u8(a), u8(a + 1) ..."},
       {"cat", "a script reads the guest's memory, not the host's files"},
       {"sleep", "Every(1s) { ... } waits; nothing within a block does"},
       {"rand", "nothing here is random: now, or a value of the guest"},
       {"input", "a script takes no input while it runs but requests: OnExternalRequest(n)"},
       {"upper", "lower(text) makes two texts alike"},
       {"toupper", "lower(text) makes two texts alike"}});
  return look_up(kHints, word);
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
                                                        {"filesystem", {"type", ""}, 1},
                                                        {"fstype", {"type", ""}, 1},
                                                        {"fs", {"type", ""}, 1},
                                                        {"pid_namespace", {"ns_pid", ""}, 1},
                                                        {"mount_namespace", {"ns_mnt", ""}, 1},
                                                        {"network_namespace", {"ns_net", ""}, 1},
                                                        {"user_namespace", {"ns_user", ""}, 1},
                                                        {"ns_pid", {"pid_namespace", ""}, 1},
                                                        {"ns_mnt", {"mount_namespace", ""}, 1},
                                                        {"ns_net", {"network_namespace", ""}, 1},
                                                        {"ns_user", {"user_namespace", ""}, 1},
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
