#include "vmipl/codes.h"

#include <fmt/format.h>

#include <array>

namespace vitrine::vmipl {
namespace {

constexpr auto E = Severity::error;
constexpr auto W = Severity::warning;

// In the order of enum Code.
constexpr std::array<CodeInfo, static_cast<std::size_t>(Code::count_)> kCodes{{
    {"E001", "invalid-utf8", E, "the script is not UTF-8",
     "A script is text in UTF-8. These bytes are none: the file may be in another encoding, "
     "damaged, or\n"
     "no script at all. Other bytes go into a string as an escape:\n\n"
     "    Print(\"\\xff\\xfe\\n\")"},
    {"E002", "nul-byte", E, "the script holds a NUL byte",
     "A NUL byte has no place in a script, not even in a comment. In a string write \\0."},
    {"E003", "unexpected-character", E, "a character that the language does not use",
     "Names are made of A-Z, a-z, 0-9 and _. Strings and comments may hold any text.\n"
     "Typographic quotes come from word processors: write \"...\". Variables have no $:\n\n"
     "    let start = now"},
    {"E004", "unterminated-string", E, "a string without its closing quote",
     "A string ends on the line it begins on. A newline in it is written \\n:\n\n"
     "    Print(\"one line\\nanother\\n\")"},
    {"E005", "unterminated-comment", E, "a comment without its end",
     "A comment that begins with /* ends with */. They do not nest."},
    {"E006", "script-too-large", E, "the script is larger than 1 MiB",
     "Scripts may have up to 1 MiB. A longer file is almost certainly not a script."},
    {"E007", "bad-escape", E, "an escape that the language does not have",
     "In a string: \\n \\t \\r \\0 \\\\ \\\" \\xHH and \\u{HHHH}. A backslash itself is \\\\."},
    {"E008", "bad-number", E, "this is not a number",
     "Numbers: 42, 1_000_000, 0x2a, 0b101010. Durations: 10ns 10us 10ms 10s 5m 1h.\n"
     "There are no fractions: write 1500ms, not 1.5s."},
    {"E009", "number-too-large", E, "the number does not fit 64 bits",
     "Numbers have 64 bits: at most 18446744073709551615 (0xffffffffffffffff). Durations are\n"
     "counted in nanoseconds: at most 292 years."},
    {"E010", "bad-sign", E, "a # without a name",
     "#name is an output channel; comments begin with //. (@name is a map, and @ alone is the map\n"
     "without a name.)\n\n"
     "    ReadRegister(RAX, #registers)\n"
     "    @opens[process.name] = count()"},
    {"E020", "unexpected", E, "something else was expected here",
     "The text does not follow the language's grammar at this point. The diagnostic says what was "
     "found\n"
     "and what may stand there. Often the mistake is just before: a missing comma, quote or "
     "parenthesis."},
    {"E021", "unclosed", E, "a bracket is never closed",
     "The note shows where it was opened. Indentation usually shows where it should have been "
     "closed;\n"
     "`vitrine fmt` helps."},
    {"E022", "stray-close", E, "a closing bracket without its opening one",
     "There is one bracket too many here, or one too few before."},
    {"E023", "too-deep", E, "nested too deeply",
     "Blocks and expressions may be nested 200 deep. Split the expression with `let`."},
    {"E024", "foreign-syntax", E, "this is how another language says it",
     "VMI-PL says it otherwise:\n\n"
     "    bpftrace                    VMI-PL\n"
     "    kprobe:do_exit { }          ExecuteAt(do_exit) { }\n"
     "    kretprobe:vfs_read { }      Return(vfs_read) { }\n"
     "    tracepoint:syscalls:...     Syscall(openat) { }\n"
     "    interval:s:1 { }            Every(1s) { }\n"
     "    profile:hz:99 { }           Sample(99) { }\n"
     "    BEGIN { }   END { }         Start { }   Stop { }\n"
     "    /pid == 1/                  when (process.pid == 1)\n"
     "    printf(\"%d\\n\", pid)         Print(\"%d\\n\", process.pid)\n"
     "    $x = 1                      let x = 1\n"
     "    comm, pid, nsecs            process.name, process.pid, now\n"
     "    while (...)                 for (i in 0..100) { if (...) break }"},
    {"E025", "chained-comparison", E, "comparisons do not chain",
     "`a < b < c` would compare a truth value with c. Write `a < b && b < c`."},
    {"E026", "misplaced", E, "this does not stand here",
     "At the top of a script stand: Configuration, const, fn, event probes, stream probes, "
     "Symptom.\n"
     "In a block stand: let, if, for, map and variable assignments, filters, data probes and "
     "actions.\n"
     "Probes do not nest."},
    {"E027", "assignment-in-condition", E, "an assignment where a comparison was meant",
     "`=` assigns and is a statement; `==` compares."},
    {"E028", "missing-block", E, "this needs a block",
     "An event probe says what to do in braces:\n\n"
     "    ProcessExec { Print(\"%s\\n\", process.name) }"},
    {"E050", "unknown-probe", E, "there is no such probe",
     "`vitrine probes` lists them all. Names are PascalCase; upper and lower case count."},
    {"E051", "unknown-action", E, "there is no such action or data probe",
     "`vitrine probes` lists them all. Names are PascalCase; upper and lower case count."},
    {"E052", "unknown-function", E, "there is no such function",
     "Functions are lower case. docs/language.md lists those of the language; `fn` declares your "
     "own."},
    {"E053", "unknown-name", E, "this name means nothing here",
     "A name is a variable (let, for, a parameter), a const, one of the moment's values (process, "
     "thread,\n"
     "cpu, now, reg, arg0 ...), a view, or a symbol of the guest's kernel."},
    {"E054", "unknown-field", E, "there is no such field",
     "The fields of process, thread, syscall and event are in docs/language.md; those of event "
     "depend\n"
     "on the probe."},
    {"E055", "unknown-view", E, "there is no such view",
     "`for (row in view)` goes over one of the machine's views; `vitrine views` lists them. A "
     "range is\n"
     "written `for (i in 0..10)`."},
    {"E056", "unknown-key", E, "there is no such configuration key",
     "The keys: ProcessListHead TasksOffset PIDOffset ProcessNameOffset MMStructOffset "
     "ExeFileOffset\n"
     "DEntryOffset ParentOffset DNameOffset PGDOffset SyscallDispatcherAddress "
     "SyscallInterruptNumber\n"
     "SyscallNumberLocation PollPeriod RateLimit. All are optional: Vitrine recovers from the "
     "guest\n"
     "what it can tell."},
    {"E057", "unknown-register", E, "there is no such register",
     "EAX..EDI, ESP, EBP, EIP, EFLAGS, their 64-bit names and R8..R15, CS SS DS ES FS GS TR LDTR "
     "GDTR\n"
     "IDTR, CR0 CR2 CR3 CR4 CR8; in expressions in lower case: reg.rax, reg.cr3."},
    {"E058", "unknown-symbol", E, "the guest's kernel has no such symbol",
     "The name is not among the kernel's symbols. `vitrine sym VM PATTERN` searches them; a "
     "symbol\n"
     "may be inlined away or carry a suffix (do_exit.cold, vfs_read.part.0). A module's symbols "
     "are\n"
     "known while it is loaded. In quotes, with the module's name before it, a probe waits for it: "
     "ExecuteAt(\"evil:hook\")."},
    {"E059", "unknown-type", E, "the guest's kernel has no such type",
     "Types are those of the running kernel, from its own BTF. `vitrine type VM NAME` prints one."},
    {"E060", "unknown-member", E, "the structure has no such member",
     "Members are those of the running kernel; they differ between versions. Members of anonymous\n"
     "structures and unions are found as in C."},
    {"E061", "duplicate-name", E, "the name is taken",
     "Two constants, functions, symptoms, parameters or variables of one block have the same "
     "name."},
    {"E062", "unknown-property", E, "a symptom has no such property",
     "A symptom has severity, technique, text, and probes:\n\n"
     "    Symptom hidden_process {\n"
     "        severity: high\n"
     "        technique: \"T1014\"\n"
     "        text: \"a task that runs is missing from the task list\"\n"
     "        Every(1s) { ... }\n"
     "    }"},
    {"E063", "unknown-system-call", E, "there is no such system call",
     "System calls go by number, by their Linux x86-64 name without sys_, or by a pattern: "
     "Syscall(59),\n"
     "Syscall(execve), Syscall(\"exec*\")."},
    {"E064", "unknown-column", E, "the view has no such column",
     "`vitrine views` lists each view's columns with their types."},
    {"E070", "argument-count", E, "too few or too many arguments",
     "The diagnostic shows how the probe, action or function is written."},
    {"E071", "wrong-argument", E, "an argument of the wrong kind",
     "The diagnostic says what stands at this place: a register's name, an address, a pattern ..."},
    {"E072", "missing-output", E, "a data probe needs an output",
     "The last argument of a data probe or stream says where its records go: a channel or a "
     "file:\n\n"
     "    ReadRegister(CR3, #c)\n"
     "    ReadRegister(CR3, /tmp/cr3.txt)\n"
     "    ReadRegister(CR3, \"my file.txt\")"},
    {"E073", "bad-mac", E, "this is not a MAC address",
     "Six pairs of hexadecimal digits: 52:54:00:12:34:56. Or * for every network card."},
    {"E074", "bad-output", E, "this is not an output",
     "An output is a channel (#name), a file path (/tmp/out.txt), or a path in quotes."},
    {"E075", "out-of-range", E, "the value is outside what is allowed",
     "The diagnostic says the range."},
    {"E076", "not-here", E, "this event does not carry that",
     "`ret` belongs to Return and SyscallReturn; `arg0`..`arg5` to ExecuteAt, Syscall and "
     "SyscallReturn;\n"
     "`syscall` to system calls; `event.*` depends on the probe. Every, Start and Stop run on the "
     "host's\n"
     "clock: there is no current process, thread, cpu or register then."},
    {"E077", "wrong-use", E, "this kind of probe is used otherwise",
     "A filter has a block: RegisterHasValue(RAX, 0x3b) { ... }. Data probes, actions and streams "
     "have\n"
     "none. Streams stand at the top of the script."},
    {"E100", "type-mismatch", E, "these types do not go together",
     "Both sides of an operator have to be of one kind: numbers with numbers, text with text, "
     "durations\n"
     "with durations. `now - @start` is a duration: compare it with 10ms, not with 10000000."},
    {"E101", "not-a-condition", E, "this cannot be true or false",
     "A condition is a comparison, a bool, or a number, address or map entry (true if it is there "
     "and not\n"
     "zero). Text is compared: process.name == \"sshd\"."},
    {"E102", "wrong-type", E, "a value of the wrong type",
     "The diagnostic says which type is wanted and which was given."},
    {"E103", "map-keys", E, "a map used with keys of different shapes",
     "Every use of a map has the same number of keys, of the same types in the same order:\n\n"
     "    @opens[process.name, process.pid] = count()\n"
     "    print(@opens)"},
    {"E104", "map-value", E, "a map given values of different types",
     "A map holds one type of value: that of its first assignment in the script."},
    {"E105", "not-assignable", E, "nothing can be assigned to this",
     "Maps and variables are assigned to. The guest's memory and registers are written with\n"
     "WriteMemory(address, value) and WriteRegister(register, value), by permission."},
    {"E106", "bad-cast", E, "this cast means nothing",
     "Numbers and addresses are cast to integers, (u32)x, and to pointers, (struct task_struct "
     "*)x."},
    {"E107", "not-a-pointer", E, "-> needs a typed pointer",
     "`->` follows a pointer to a structure of the guest. A plain address gets a type by a "
     "cast:\n\n"
     "    ((struct file *)arg0)->f_path.dentry"},
    {"E108", "not-a-structure", E, "this has no fields",
     "`.` takes a member of a structure, a column of a row, or a field of process, thread, "
     "syscall, event.\n"
     "Through a pointer it is `->`."},
    {"E109", "not-indexable", E, "this cannot be indexed",
     "[i] takes an element of an array of the guest or through a typed pointer; keys belong to "
     "maps: @name[key]."},
    {"E110", "no-value", E, "this has no value",
     "Actions do something and have no value; a structure or array of the guest is a place: take a "
     "member\n"
     "or an element of it, or its address with &."},
    {"E111", "aggregation-misuse", E, "aggregations live in maps",
     "count() sum(x) min(x) max(x) avg(x) stats(x) histogram(x) linear(x, low, high, step) are "
     "assigned to\n"
     "a map, and that map is used for nothing else:\n\n"
     "    @bytes[process.name] = sum(arg2)\n"
     "    print(@bytes)"},
    {"E112", "recursion", E, "functions do not call themselves",
     "Every script terminates: a function may not call itself, nor through others."},
    {"E113", "not-constant", E, "this must be known before the script runs",
     "Arguments of event probes, const values and sizes of `linear` are computed once, before the "
     "start.\n"
     "What depends on the moment goes into `when`."},
    {"E114", "division-by-zero", E, "division by zero", "The divisor is always zero."},
    {"E115", "format-count", E, "the format and its arguments do not match in number",
     "Each %-directive takes one argument; %% is a percent sign."},
    {"E116", "format-type", E, "the argument does not fit its directive",
     "%d %u signed and unsigned decimal; %x %o %b other bases; %p address; %s text, and any value "
     "as Vitrine\n"
     "prints it; %c a character; %t a time."},
    {"E117", "format-unknown", E, "there is no such format directive",
     "%[-][0][width][.precision]directive, the directive being one of d u x X o b p s c t %.\n"
     "Lengths (%ld, %llx) are not needed."},
    {"E118", "outside-loop", E, "break and continue belong in loops",
     "`return` ends the whole firing of a probe."},
    {"E119", "missing-return", E, "a function that gives no value is used as one",
     "    fn double(x) { return 2 * x }\n    fn double(x) = 2 * x"},
    {"E130", "too-many", E, "a limit of the language is exceeded",
     "The diagnostic says which, and how many are allowed."},
    {"E131", "needs-writes", E, "the script writes to the guest, and may not",
     "WriteMemory and WriteRegister change the guest. Start the script with --allow-writes if that "
     "is\n"
     "what you want; every write is recorded."},
    {"E132", "needs-control", E, "the script controls the machine, and may not",
     "Pause, Resume, Isolate, Reconnect, Throttle and Kill change how the machine runs. Start the "
     "script\n"
     "with --allow-control if that is what you want; every such act is recorded."},
    {"E133", "needs-kernel", E, "the guest's types are needed to build this program",
     "Without a machine or a saved kernel description the script can be checked, not built: the "
     "offsets of\n"
     "structure members are not known. Use --vm VM or --kernel FILE."},
    {"E134", "too-large", E, "the program becomes too large",
     "A probe may have 200 number and 50 text values alive at once and 65,535 instructions in "
     "all;\n"
     "functions are expanded where they are called."},
    {"E135", "missing-property", E, "a symptom lacks something",
     "A symptom has a severity, a text, and at least one probe."},
    {"W001", "unused-let", W, "a variable that nobody reads",
     "Remove it, or start its name with _."},
    {"W002", "unused-const", W, "a constant that nobody reads",
     "Remove it, or start its name with _."},
    {"W003", "unused-fn", W, "a function that nobody calls",
     "Remove it, or start its name with _."},
    {"W004", "shadowing", W, "a name that hides another",
     "Inside this block the name means the new variable; the outer one, the constant or the "
     "built-in value\n"
     "cannot be reached. Was an assignment meant? `x = 1` assigns, `let x = 1` declares."},
    {"W005", "unreachable", W, "this is never reached",
     "What stands before always leaves the block or the loop."},
    {"W006", "always-false", W, "a condition that is never true", "What it guards never runs."},
    {"W007", "always-true", W, "a condition that is always true", "The condition can be left out."},
    {"W008", "unwritten-map", W, "a map is read that nothing writes",
     "Its entries are always missing. Is the name misspelled?"},
    {"W009", "no-effect", W, "a statement that does nothing",
     "The value is computed and thrown away."},
    {"W010", "duplicate-key", W, "a configuration key, or a property of a symptom, is given twice",
     "The last one counts."},
    {"W011", "ambiguous-address", W, "eight digits are read as a hexadecimal address",
     "As the published scripts write addresses, eight digits where an address stands are "
     "hexadecimal.\n"
     "Write 0x before them."},
    {"W012", "unchecked-symbol", W, "taken for a kernel symbol, unchecked",
     "The name is none of the script's or the language's, so it is taken for a symbol of the "
     "guest's\n"
     "kernel. That cannot be checked without a machine: use --vm VM or --kernel FILE, or write "
     "&name to say\n"
     "that a symbol is meant."},
    {"W013", "leading-zero", W, "a leading zero does not make it octal", "The number is decimal."},
    {"W014", "empty-block", W, "a probe that does nothing",
     "The event is watched, and nothing comes of it."},
    {"W015", "empty-script", W, "the script has no probe", "It would start and do nothing."},
    {"W016", "unknown-warning", W, "there is no warning of that name",
     "// vitrine: allow(name) silences warnings by the name that each of them tells. Errors cannot "
     "be\n"
     "silenced."},
    {"W017", "unused-parameter", W, "a parameter that nobody reads",
     "Remove it, or start its name with _."},
    {"W018", "configuration-differs", W, "the configuration contradicts the guest",
     "The value given in the script is not what the guest's own kernel says. The script's value is "
     "used."},
    {"W019", "empty-range", W, "a loop that never runs",
     "a..b goes from a up to, not including, b: with b <= a there is nothing."},
    {"W020", "shift-out", W, "a shift by 64 or more", "All bits are shifted out."},
    {"W021", "unused-row", W, "a loop that does not look at its row",
     "Each turn does the same. Is that meant?"},
}};

}  // namespace

const CodeInfo& info(Code code) noexcept { return kCodes[static_cast<std::size_t>(code)]; }

std::span<const CodeInfo> all_codes() noexcept { return kCodes; }

const CodeInfo* find_code(std::string_view word) noexcept {
  const auto same = [&](std::string_view code) {
    if (code.size() != word.size()) return false;
    for (std::size_t i = 0; i < code.size(); ++i) {
      const char c = word[i];
      if ((c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c) != code[i]) return false;
    }
    return true;
  };
  for (const auto& code : kCodes) {
    if (same(code.code) || code.name == word) return &code;
  }
  return nullptr;
}

std::string explain(const CodeInfo& code) {
  std::string out =
      fmt::format("{} ({}): {}\n\n{}\n", code.code, code.name, code.title, code.explanation);
  if (code.severity == Severity::warning) {
    out += fmt::format(
        "\nTo silence it: `// vitrine: allow({})` on the line or before it, or `--allow {}`.\n",
        code.name, code.name);
  }
  return out;
}

std::string errors_document() {
  std::string out =
      "# Diagnostics of VMI-PL\n\n"
      "Generated from the catalogue in `src/vmipl/codes.cpp`; `vitrine explain CODE` prints the "
      "same. A code\n"
      "is stable: it is never given to another mistake. Errors stop a script before it starts. "
      "Warnings are\n"
      "silenced by name: `// vitrine: allow(NAME)` at the end of the line, or alone on the line "
      "before (before\n"
      "a probe it holds for the whole probe), or with the option `--allow NAME`.\n";
  for (const auto& code : kCodes) {
    out += fmt::format("\n## {} {}\n\n{}.\n\n", code.code, code.name, code.title);
    // Paragraphs; lines indented by four spaces are code blocks in Markdown already.
    out += fmt::format("{}\n", code.explanation);
  }
  return out;
}

}  // namespace vitrine::vmipl
