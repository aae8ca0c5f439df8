#include "vmipl/catalogue.h"

#include <fmt/format.h>

#include <array>

namespace vitrine::vmipl {
namespace {

using enum ParamKind;
using enum ProbeKind;
constexpr auto T = ValueType::text;
constexpr auto I = ValueType::integer;
constexpr auto U = ValueType::word;
constexpr auto A = ValueType::address;
constexpr auto B = ValueType::boolean;

constexpr Param kNone[] = {{}};
constexpr std::span<const Param> kNoParams(kNone, 0);
constexpr std::span<const Field> kNoFields;

// ---- parameters
constexpr Param kCr[] = {{"n", control_register}};
constexpr Param kMsr[] = {{"index or name", msr, true}};
constexpr Param kAt[] = {{"address", address}, {"length", length, true}};
constexpr Param kCode[] = {{"address or pattern", code}};
constexpr Param kSyscall[] = {{"number, name or pattern", system_call, true}};
constexpr Param kRequest[] = {{"n", request}};
constexpr Param kVector[] = {{"vector", vector, true}};
constexpr Param kPort[] = {{"port", port}};
constexpr Param kHertz[] = {{"hertz", hertz}};
constexpr Param kDuration[] = {{"duration", duration}};

constexpr Param kRegisterHasValue[] = {{"register", reg}, {"value", integer}};
constexpr Param kValueAtAddressIs[] = {{"address", address}, {"value", integer}};

constexpr Param kReadRegister[] = {{"register", reg}, {"output", output}};
constexpr Param kReadMemory[] = {{"address", address}, {"size", length}, {"output", output}};
constexpr Param kReadMemoryAt[] = {
    {"register", reg}, {"size", length}, {"offset", integer}, {"output", output}};
constexpr Param kProcessList[] = {{"field", process_field, false, true}, {"output", output}};
constexpr Param kReadVmcs[] = {{"field", vmcs_field, false, true}, {"output", output}};

constexpr Param kNetwork[] = {{"mac or *", mac}, {"output", output}};
constexpr Param kOutput[] = {{"output", output}};
constexpr Param kDisk[] = {{"device or *", device}, {"output", output}};
constexpr Param kScreen[] = {{"period", duration}, {"output", output}};

constexpr Param kPrint[] = {
    {"output", optional_output, true}, {"format", format}, {"value", value, true, true}};
constexpr Param kReport[] = {{"symptom", text, true},
                             {"severity", severity, true},
                             {"format", format},
                             {"value", value, true, true}};
constexpr Param kWriteRegister[] = {{"register", reg}, {"value", integer}};
constexpr Param kWriteMemory[] = {{"address", address}, {"value or bytes", value}};
constexpr Param kPath[] = {{"path", output}};
constexpr Param kDump[] = {{"pid", integer}, {"path", output}};
constexpr Param kPercent[] = {{"percent", percent}};
constexpr Param kPid[] = {{"pid", integer}};

// ---- fields of `event`
constexpr Field kWriteFields[] = {{"old", U, "the value before"},
                                  {"value", U, "the value written"}};
constexpr Field kMsrFields[] = {{"index", U, "the register's number"},
                                {"old", U, "the value before"},
                                {"value", U, "the value written"}};
constexpr Field kTableRegisterFields[] = {
    {"old", A, "the base before"}, {"value", A, "the new base"}, {"limit", U, "the new limit"}};
constexpr Field kTableFields[] = {{"address", A, "where was written"},
                                  {"entry", U, "which entry of the table"},
                                  {"size", U, "bytes"},
                                  {"old", U, "the bytes before"},
                                  {"value", U, "the bytes written"}};
constexpr Field kAccessFields[] = {{"address", A, "where"},
                                   {"size", U, "bytes"},
                                   {"value", U, "what was read or written"},
                                   {"old", U, "what stood there before a write"},
                                   {"is_write", B, "a write"}};
constexpr Field kExecuteFields[] = {{"address", A, "of the instruction"},
                                    {"symbol", T, "its name, as symbol(event.address)"}};
constexpr Field kReturnFields[] = {{"address", A, "of the function"}, {"symbol", T, "its name"}};
constexpr Field kRequestFields[] = {{"request", U, "its number"}};
constexpr Field kStartFields[] = {{"parent_pid", I, "of the process that forked"}};
constexpr Field kExitFields[] = {{"code", I, "exit code: status << 8 | signal"}};
constexpr Field kModuleFields[] = {
    {"name", T, "of the module"}, {"address", A, "of its core"}, {"size", U, "bytes"}};
constexpr Field kVectorFields[] = {{"vector", U, "0 to 255"},
                                   {"error_code", U, "missing where the exception has none"}};
constexpr Field kPortFields[] = {
    {"port", U, "its number"}, {"size", U, "bytes"}, {"value", U, "what was read or written"}};

constexpr auto M = static_cast<std::uint32_t>(Carries::moment);
constexpr auto kCall = static_cast<std::uint32_t>(Carries::moment | Carries::arguments);
constexpr auto kSys =
    static_cast<std::uint32_t>(Carries::moment | Carries::arguments | Carries::system_call);
constexpr auto kSysReturn = static_cast<std::uint32_t>(kSys | Carries::result);
constexpr auto N = static_cast<std::uint32_t>(Needs::events);
constexpr auto F = static_cast<std::uint32_t>(Needs::none);

constexpr auto kProbes = std::to_array<ProbeInfo>({
    // events, classic
    {"CRWrite", event, true, kCr, kWriteFields, M, N, "a control register is written"},
    {"IDTRWrite", event, true, kNoParams, kTableRegisterFields, M, N,
     "the interrupt descriptor table's register is loaded"},
    {"GDTRWrite", event, true, kNoParams, kTableRegisterFields, M, N,
     "the global descriptor table's register is loaded"},
    {"IDTWrite", event, true, kNoParams, kTableFields, M, N,
     "the interrupt descriptor table is written in memory"},
    {"GDTWrite", event, true, kNoParams, kTableFields, M, N,
     "the global descriptor table is written in memory"},
    {"MSRWrite", event, true, kMsr, kMsrFields, M, N, "a model-specific register is written"},
    {"OnResume", event, true, kNoParams, kNoFields, M, N,
     "the machine goes on after it had left to the hypervisor"},
    {"ReadAt", event, true, kAt, kAccessFields, M, N, "any byte of the range is read as data"},
    {"WriteAt", event, true, kAt, kAccessFields, M, N, "any byte of the range is written"},
    {"ExecuteAt", event, true, kCode, kExecuteFields, kCall, N, "before an instruction runs"},
    {"OnExternalRequest", event, true, kRequest, kRequestFields, F, F,
     "the user sends request n: `vitrine request VM n`"},
    {"Syscall", event, true, kSyscall, kNoFields, kSys, N,
     "a system call begins, 64-bit or compat"},
    // events, extended
    {"AccessAt", event, false, kAt, kAccessFields, M, N,
     "any byte of the range is read or written"},
    {"Return", event, false, kCode, kReturnFields, M | Carries::result, N, "a function returns"},
    {"SyscallReturn", event, false, kSyscall, kNoFields, kSysReturn, N, "a system call ends"},
    {"ProcessStart", event, false, kNoParams, kStartFields, M, N,
     "a process was forked; process is the new one"},
    {"ProcessExec", event, false, kNoParams, kNoFields, M, N,
     "a process runs another program; process is the new image"},
    {"ProcessExit", event, false, kNoParams, kExitFields, M, N, "a process ends"},
    {"ModuleLoad", event, false, kNoParams, kModuleFields, M, N, "a kernel module was loaded"},
    {"ModuleUnload", event, false, kNoParams, kModuleFields, M, N, "a kernel module goes"},
    {"Interrupt", event, false, kVector, kVectorFields, M, N, "an interrupt is delivered"},
    {"Exception", event, false, kVector, kVectorFields, M, N, "an exception is delivered"},
    {"PortRead", event, false, kPort, kPortFields, M, N, "`in` from a port"},
    {"PortWrite", event, false, kPort, kPortFields, M, N, "`out` to a port"},
    {"Sample", event, false, kHertz, kNoFields, M, N, "so many times a second on each virtual CPU"},
    {"Every", event, false, kDuration, kNoFields, F, F, "by the host's clock; the guest runs on"},
    {"Start", event, false, kNoParams, kNoFields, F, F, "once, when the script is attached"},
    {"Stop", event, false, kNoParams, kNoFields, F, F,
     "once, when the script is detached; as an action, it detaches it"},
    // filters
    {"RegisterHasValue", filter, true, kRegisterHasValue, kNoFields, F, F,
     "runs its block if the register holds the value"},
    {"ValueAtAddressIs", filter, true, kValueAtAddressIs, kNoFields, F, F,
     "runs its block if the 8 bytes at the address (4 on a 32-bit guest) hold the value"},
    // data probes
    {"ReadRegister", data, true, kReadRegister, kNoFields, F, F,
     "a register; of segment and table registers all parts"},
    {"ReadMemory", data, true, kReadMemory, kNoFields, F, F,
     "bytes at an address, by the current page tables"},
    {"ReadMemoryAt", data, true, kReadMemoryAt, kNoFields, F, F, "bytes at register + offset"},
    {"ProcessList", data, true, kProcessList, kNoFields, F, F,
     "all processes, with the fields named"},
    {"ReadVMCS", data, true, kReadVmcs, kNoFields, F, F,
     "fields of the virtual machine control structure"},
    // streams
    {"CaptureNetwork", stream, true, kNetwork, kNoFields, F, Needs::network,
     "the packets of a network card, as pcapng"},
    {"CaptureKeyboardInput", stream, true, kOutput, kNoFields, F, Needs::keyboard,
     "keys: text with times, and scan codes"},
    {"CaptureConsole", stream, false, kOutput, kNoFields, F, Needs::console,
     "what the serial console prints"},
    {"CaptureDisk", stream, false, kDisk, kNoFields, F, Needs::disk, "reads and writes of a disk"},
    {"CaptureScreen", stream, false, kScreen, kNoFields, F, Needs::screen,
     "a picture of the screen, again and again"},
    // actions
    {"Print", action, false, kPrint, kNoFields, F, F, "prints by a format"},
    {"Report", action, false, kReport, kNoFields, F, F,
     "reports a symptom; name and severity are the Symptom's own within one"},
    {"Pause", action, false, kNoParams, kNoFields, F, Needs::control,
     "stops the machine until Resume()"},
    {"Resume", action, false, kNoParams, kNoFields, F, Needs::control, "lets the machine run"},
    {"WriteRegister", action, false, kWriteRegister, kNoFields, F, Needs::writes,
     "writes a register"},
    {"WriteMemory", action, false, kWriteMemory, kNoFields, F, Needs::writes,
     "writes memory: a number of its type's width, or bytes"},
    {"Snapshot", action, false, kPath, kNoFields, F, Needs::files,
     "saves the machine's memory to a file"},
    {"DumpProcess", action, false, kDump, kNoFields, F, Needs::files,
     "saves a process's memory to a file"},
    {"Screenshot", action, false, kPath, kNoFields, F, Needs::files,
     "saves a picture of the screen"},
    {"Isolate", action, false, kNoParams, kNoFields, F, Needs::control,
     "takes the network links down"},
    {"Reconnect", action, false, kNoParams, kNoFields, F, Needs::control,
     "brings the network links up"},
    {"Throttle", action, false, kPercent, kNoFields, F, Needs::control,
     "slows the machine down to a share of its speed"},
    {"Kill", action, false, kPid, kNoFields, F, Needs::control,
     "ends a process of the guest by the kernel's own signal path"},
});

// Stop is both an event and an action.
constexpr ProbeInfo kStopAction{"Stop",    action, false, kNoParams,
                                kNoFields, F,      F,     "ends the script"};

constexpr auto kMoments = std::to_array<MomentInfo>({
    {"", "now", ValueType::time, 0, "the host's time"},
    {"", "cpu", I, M, "number of the virtual CPU"},
    {"", "arg0", U, Carries::arguments, "first argument"},
    {"", "arg1", U, Carries::arguments, "second argument"},
    {"", "arg2", U, Carries::arguments, "third argument"},
    {"", "arg3", U, Carries::arguments, "fourth argument"},
    {"", "arg4", U, Carries::arguments, "fifth argument"},
    {"", "arg5", U, Carries::arguments, "sixth argument"},
    {"", "ret", I, Carries::result, "what the function or system call returned"},
    {"", "kstack", ValueType::stack, M, "the kernel's stack"},
    {"", "ustack", ValueType::stack, M, "the program's stack"},
    {"process", "pid", I, M, "process id (thread group) as the guest's root namespace sees it"},
    {"process", "tgid", I, M, "the same as pid"},
    {"process", "ppid", I, M, "of its parent"},
    {"process", "name", T, M, "the main thread's name (comm), at most 15 bytes"},
    {"process", "path", T, M, "of its executable"},
    {"process", "cmdline", T, M, "its arguments, separated by spaces"},
    {"process", "uid", I, M, "real user id"},
    {"process", "euid", I, M, "effective user id"},
    {"process", "gid", I, M, "real group id"},
    {"process", "egid", I, M, "effective group id"},
    {"process", "cgroup", T, M, "path in the unified hierarchy"},
    {"process", "pid_namespace", U, M, "inode number of the namespace"},
    {"process", "mount_namespace", U, M, "inode number of the namespace"},
    {"process", "network_namespace", U, M, "inode number of the namespace"},
    {"process", "user_namespace", U, M, "inode number of the namespace"},
    {"process", "session", I, M, "session id"},
    {"process", "tty", T, M, "name of its terminal"},
    {"process", "start_time", ValueType::time, M, "when it was started"},
    {"process", "kernel_thread", B, M, "has no user memory"},
    {"process", "root", A, M, "its page tables (physical), as in CR3"},
    {"process", "task", A, M, "its task_struct (the main thread's)", "task_struct"},
    {"thread", "tid", I, M, "thread id"},
    {"thread", "name", T, M, "the thread's name (comm)"},
    {"thread", "task", A, M, "its task_struct", "task_struct"},
    {"syscall", "number", I, Carries::system_call, "the system call's number"},
    {"syscall", "name", T, Carries::system_call, "the system call's name"},
    {"syscall", "compat", B, Carries::system_call, "entered by the 32-bit way"},
});

constexpr auto G = RegisterInfo::general;
constexpr auto kRegisters = std::to_array<RegisterInfo>({
    {"rax", "EAX", G},
    {"rbx", "EBX", G},
    {"rcx", "ECX", G},
    {"rdx", "EDX", G},
    {"rsi", "ESI", G},
    {"rdi", "EDI", G},
    {"rsp", "ESP", G},
    {"rbp", "EBP", G},
    {"r8", "", G},
    {"r9", "", G},
    {"r10", "", G},
    {"r11", "", G},
    {"r12", "", G},
    {"r13", "", G},
    {"r14", "", G},
    {"r15", "", G},
    {"rip", "EIP", G},
    {"rflags", "EFLAGS", G},
    {"cs", "CS", RegisterInfo::segment},
    {"ss", "SS", RegisterInfo::segment},
    {"ds", "DS", RegisterInfo::segment},
    {"es", "ES", RegisterInfo::segment},
    {"fs", "FS", RegisterInfo::segment},
    {"gs", "GS", RegisterInfo::segment},
    {"tr", "TR", RegisterInfo::segment},
    {"ldtr", "LDTR", RegisterInfo::segment},
    {"gdtr", "GDTR", RegisterInfo::table},
    {"idtr", "IDTR", RegisterInfo::table},
    {"cr0", "CR0", RegisterInfo::control},
    {"cr2", "CR2", RegisterInfo::control},
    {"cr3", "CR3", RegisterInfo::control},
    {"cr4", "CR4", RegisterInfo::control},
    {"cr8", "CR8", RegisterInfo::control},
    {"fs_base", "", G},
    {"gs_base", "", G},
    {"kernel_gs_base", "", G},
    {"efer", "", RegisterInfo::control},
});

using FK = FunctionKind;
constexpr auto kFunctions = std::to_array<FunctionInfo>({
    {"u8", FK::read_number, 1, 1, "u8(address)", "the unsigned byte at the address", 8},
    {"u16", FK::read_number, 1, 1, "u16(address)", "two bytes, unsigned", 16},
    {"u32", FK::read_number, 1, 1, "u32(address)", "four bytes, unsigned", 32},
    {"u64", FK::read_number, 1, 1, "u64(address)", "eight bytes, unsigned", 64},
    {"s8", FK::read_number, 1, 1, "s8(address)", "the signed byte at the address", 8, true},
    {"s16", FK::read_number, 1, 1, "s16(address)", "two bytes, signed", 16, true},
    {"s32", FK::read_number, 1, 1, "s32(address)", "four bytes, signed", 32, true},
    {"s64", FK::read_number, 1, 1, "s64(address)", "eight bytes, signed", 64, true},
    {"phys.u8", FK::read_number, 1, 1, "phys.u8(address)", "a byte of physical memory", 8, false,
     true},
    {"phys.u16", FK::read_number, 1, 1, "phys.u16(address)", "two bytes of physical memory", 16,
     false, true},
    {"phys.u32", FK::read_number, 1, 1, "phys.u32(address)", "four bytes of physical memory", 32,
     false, true},
    {"phys.u64", FK::read_number, 1, 1, "phys.u64(address)", "eight bytes of physical memory", 64,
     false, true},
    {"string", FK::text, 1, 2, "string(address [, max])",
     "the text at the address up to its NUL, at most max bytes (256; up to 4096)"},
    {"bytes", FK::bytes, 2, 2, "bytes(address, n)", "n bytes at the address (up to 4096)"},
    {"symbol", FK::symbol, 1, 1, "symbol(address)",
     "the kernel symbol there, with the distance: \"do_exit+0x12\""},
    {"per_cpu", FK::per_cpu, 1, 2, "per_cpu(symbol [, cpu])",
     "where a per-CPU variable lies for this or that CPU"},
    {"listed", FK::listed, 1, 1, "listed(pid)", "the process list has that pid"},
    {"missing", FK::missing, 1, 1, "missing(value)", "true if the value could not be had"},
    {"len", FK::length, 1, 1, "len(text or @map)", "bytes of a text; entries of a map"},
    {"matches", FK::matches, 2, 2, "matches(text, \"glob*\")",
     "the whole text fits the pattern of * and ?"},
    {"contains", FK::contains, 2, 2, "contains(text, part)",
     "the text, or one of a list, holds the part"},
    {"starts_with", FK::starts_with, 2, 2, "starts_with(text, part)",
     "the text begins with the part"},
    {"ends_with", FK::ends_with, 2, 2, "ends_with(text, part)", "the text ends with the part"},
    {"hex", FK::hex, 1, 1, "hex(bytes)", "bytes as hexadecimal text"},
    {"lower", FK::lower, 1, 1, "lower(text)", "A-Z as a-z"},
    {"basename", FK::basename, 1, 1, "basename(path)", "what follows the last /"},
    {"abs", FK::absolute, 1, 1, "abs(number)", "without its sign"},
    {"count", FK::aggregate, 0, 0, "count()", "how many times"},
    {"sum", FK::aggregate, 1, 1, "sum(number)", "the sum"},
    {"min", FK::aggregate, 1, 1, "min(number)", "the least"},
    {"max", FK::aggregate, 1, 1, "max(number)", "the greatest"},
    {"avg", FK::aggregate, 1, 1, "avg(number)", "the mean"},
    {"stats", FK::aggregate, 1, 1, "stats(number)", "count, least, greatest, mean and sum"},
    {"histogram", FK::aggregate, 1, 1, "histogram(number)", "how many in each power of two"},
    {"linear", FK::aggregate, 4, 4, "linear(number, low, high, step)",
     "how many in each step from low to high"},
    {"delete", FK::map_statement, 1, 1, "delete(@map[keys])", "removes an entry"},
    {"clear", FK::map_statement, 1, 1, "clear(@map)", "removes all entries"},
    {"print", FK::map_statement, 1, 2, "print(@map [, top])",
     "prints the map now, its `top` greatest entries"},
});

constexpr auto kKeys = std::to_array<KeyInfo>({
    {"ProcessListHead", KeyKind::address, "init_task", "address of the first task_struct"},
    {"TasksOffset", KeyKind::offset, "task_struct.tasks", "task_struct.tasks"},
    {"PIDOffset", KeyKind::offset, "task_struct.pid", "task_struct.pid"},
    {"ProcessNameOffset", KeyKind::offset, "task_struct.comm", "task_struct.comm"},
    {"MMStructOffset", KeyKind::offset, "task_struct.mm", "task_struct.mm"},
    {"ExeFileOffset", KeyKind::offset, "mm_struct.exe_file", "mm_struct.exe_file"},
    {"DEntryOffset", KeyKind::offset, "file.f_path.dentry", "file.f_path.dentry"},
    {"ParentOffset", KeyKind::offset, "dentry.d_parent", "dentry.d_parent"},
    {"DNameOffset", KeyKind::offset, "dentry.d_name.name", "dentry.d_name.name"},
    {"PGDOffset", KeyKind::offset, "mm_struct.pgd", "mm_struct.pgd"},
    {"SyscallDispatcherAddress", KeyKind::address, "entry_SYSCALL_64",
     "the kernel's system call entry"},
    {"SyscallInterruptNumber", KeyKind::offset, "", "vector of the old system call interrupt: 128"},
    {"SyscallNumberLocation", KeyKind::reg, "",
     "register that holds the system call's number: EAX"},
    {"PollPeriod", KeyKind::duration, "", "how long polling waits between two looks: 100ms"},
    {"RateLimit", KeyKind::rate, "",
     "events a second of each probe, beyond which it is thinned; 0: no limit"},
});

constexpr auto kSeverities =
    std::to_array<std::string_view>({"info", "low", "medium", "high", "critical"});
constexpr auto kProcessFields = std::to_array<std::string_view>({"PID", "NAME", "PATH", "PGDP"});
constexpr auto kVmcsFields = std::to_array<std::string_view>(
    {"VIRTUAL_PROCESSOR_ID", "VM_EXIT_REASON", "VM_EXIT_INTR_INFO", "VM_EXIT_INTR_ERROR_CODE",
     "IDT_VECTORING_INFO_FIELD", "IDT_VECTORING_ERROR_CODE", "EXIT_QUALIFICATION"});
// Source: Intel SDM vol. 4; AMD APM vol. 2, appendix A; names as in Linux, asm/msr-index.h.
constexpr auto kMsrs = std::to_array<MsrName>({
    {"EFER", 0xc0000080},         {"STAR", 0xc0000081},
    {"LSTAR", 0xc0000082},        {"CSTAR", 0xc0000083},
    {"SYSCALL_MASK", 0xc0000084}, {"FS_BASE", 0xc0000100},
    {"GS_BASE", 0xc0000101},      {"KERNEL_GS_BASE", 0xc0000102},
    {"TSC_AUX", 0xc0000103},      {"SYSENTER_CS", 0x174},
    {"SYSENTER_ESP", 0x175},      {"SYSENTER_EIP", 0x176},
    {"APIC_BASE", 0x1b},          {"PAT", 0x277},
    {"MISC_ENABLE", 0x1a0},       {"DEBUGCTL", 0x1d9},
    {"TSC_DEADLINE", 0x6e0},      {"SPEC_CTRL", 0x48},
    {"PRED_CMD", 0x49},
});

bool same_letters(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    if (low(a[i]) != low(b[i])) return false;
  }
  return true;
}

}  // namespace

std::string_view name(ProbeKind kind) noexcept {
  constexpr std::string_view kNames[] = {"event", "filter", "data", "stream", "action"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view describe(ParamKind kind) noexcept {
  switch (kind) {
    case value:
      return "a value";
    case integer:
      return "a number";
    case address:
      return "an address: 0x..., a symbol, symbol+offset";
    case code:
      return "an address, a symbol, symbol+offset, or a \"pattern*\" of symbols";
    case length:
      return "a number of bytes";
    case reg:
      return "a register";
    case control_register:
      return "the number of a control register: 0, 2, 3, 4 or 8";
    case msr:
      return "a model-specific register: its number, or a name such as LSTAR";
    case system_call:
      return "a system call: its number, its name, or a \"pattern*\"";
    case vector:
      return "a vector: 0 to 255";
    case port:
      return "a port: 0 to 65535";
    case hertz:
      return "times a second: 1 to 10000";
    case ParamKind::duration:
      return "a duration such as 1s";
    case request:
      return "the number of a request: 0 to 63";
    case process_field:
      return "PID, NAME, PATH or PGDP";
    case vmcs_field:
      return "a field of the VMCS";
    case mac:
      return "a MAC address such as 52:54:00:12:34:56, or *";
    case device:
      return "a device's name, or *";
    case output:
      return "an output: #channel, /a/path, or \"a path\"";
    case optional_output:
      return "an output: #channel";
    case format:
      return "a format string";
    case severity:
      return "info, low, medium, high or critical";
    case ParamKind::text:
      return "text";
    case percent:
      return "a percentage: 0 to 100";
  }
  return "a value";
}

std::string_view describe(KeyKind kind) noexcept {
  switch (kind) {
    case KeyKind::address:
      return "an address";
    case KeyKind::offset:
      return "a number";
    case KeyKind::reg:
      return "a register";
    case KeyKind::duration:
      return "a duration";
    case KeyKind::rate:
      return "a number";
  }
  return "a value";
}

std::span<const ProbeInfo> probes() noexcept { return kProbes; }
std::span<const MomentInfo> moments() noexcept { return kMoments; }
std::span<const RegisterInfo> registers() noexcept { return kRegisters; }
std::span<const FunctionInfo> functions() noexcept { return kFunctions; }
std::span<const KeyInfo> configuration_keys() noexcept { return kKeys; }
std::span<const std::string_view> severities() noexcept { return kSeverities; }
std::span<const std::string_view> process_list_fields() noexcept { return kProcessFields; }
std::span<const std::string_view> vmcs_fields() noexcept { return kVmcsFields; }
std::span<const MsrName> msr_names() noexcept { return kMsrs; }

const ProbeInfo* find_probe(std::string_view name) noexcept {
  for (const auto& probe : kProbes) {
    if (probe.name == name) return &probe;
  }
  return nullptr;
}

const ProbeInfo* stop_action() noexcept { return &kStopAction; }

const MomentInfo* find_moment(std::string_view group, std::string_view name) noexcept {
  for (const auto& moment : kMoments) {
    if (moment.group == group && moment.name == name) return &moment;
  }
  return nullptr;
}

bool is_moment_group(std::string_view name) noexcept {
  return name == "process" || name == "thread" || name == "syscall";
}

std::optional<std::uint8_t> find_register(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kRegisters.size(); ++i) {
    if (same_letters(kRegisters[i].name, name) ||
        (!kRegisters[i].classic.empty() && same_letters(kRegisters[i].classic, name))) {
      return static_cast<std::uint8_t>(i);
    }
  }
  return std::nullopt;
}

const FunctionInfo* find_function(std::string_view name) noexcept {
  for (const auto& function : kFunctions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

const KeyInfo* find_key(std::string_view name) noexcept {
  for (const auto& key : kKeys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string signature(const ProbeInfo& probe) {
  if (probe.params.empty()) return std::string(probe.name) + (probe.kind == event ? "" : "()");
  std::string out(probe.name);
  out += '(';
  bool first = true;
  for (const auto& param : probe.params) {
    const std::string_view comma = first ? "" : ", ";
    const std::string_view more = param.repeated ? " ..." : "";
    out += param.optional ? fmt::format("[{}{}{}]", comma, param.name, more)
                          : fmt::format("{}{}{}", comma, param.name, more);
    first = false;
  }
  return out + ')';
}

bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
  std::size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace vitrine::vmipl
