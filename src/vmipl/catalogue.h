// The catalogue: every probe, action, value, function and key of the language, as data.
//
// The parser asks it how an argument is written, the checker what it may be, the
// documents and completion are printed from it. Nothing about a probe's name, arguments
// or fields stands anywhere else.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "vmipl/value_type.h"

namespace vitrine::vmipl {

enum class ProbeKind : std::uint8_t { event, filter, data, stream, action };
[[nodiscard]] std::string_view name(ProbeKind kind) noexcept;  ///< "event"

/// How an argument is written and what it may be.
enum class ParamKind : std::uint8_t {
  value,             ///< any expression
  integer,           ///< an expression that is a number
  address,           ///< 0x..., eight bare hexadecimal digits, symbol, symbol+offset, an expression
  code,              ///< address, or "glob*" over symbols
  length,            ///< bytes, constant in event probes
  reg,               ///< a register's name
  control_register,  ///< 0, 2, 3, 4, 8
  msr,               ///< index or name
  system_call,       ///< number, name, "glob*"
  vector,            ///< 0..255
  port,              ///< 0..65535
  hertz,             ///< 1..10000
  duration,          ///< 1ms..1d
  request,           ///< 0..63
  process_field,     ///< PID NAME PATH PGDP
  vmcs_field,
  mac,              ///< six pairs, or *
  device,           ///< a name, a string, or *
  output,           ///< #channel, path, "path"
  optional_output,  ///< #channel before the other arguments
  format,           ///< a format string, its values following
  severity,         ///< info low medium high critical
  text,             ///< an expression that is text
  percent,          ///< 0..100
};
/// For people: "a register", "an address".
[[nodiscard]] std::string_view describe(ParamKind kind) noexcept;

struct Param {
  std::string_view name;
  ParamKind kind;
  bool optional = false;
  bool repeated = false;
};

struct Field {
  std::string_view name;
  ValueType type;
  std::string_view summary;
  std::string_view guest_type = {};  ///< for an address: "task_struct", what it points to
};

/// What running it takes. A set of bits.
struct Needs {
  enum : std::uint32_t {
    none = 0,
    events = 1,   ///< an event source: agent, gdbstub or polling
    writes = 2,   ///< --allow-writes
    control = 4,  ///< --allow-control
    network = 8,
    keyboard = 16,
    console = 32,
    disk = 64,
    screen = 128,
    files = 256,  ///< it writes files on the host
  };
};

/// What an event carries beside `event.*`.
struct Carries {
  enum : std::uint32_t {
    none = 0,
    moment = 1,       ///< a virtual CPU stands at the event: process, thread, cpu, stacks
    arguments = 2,    ///< arg0..arg5
    result = 4,       ///< ret
    system_call = 8,  ///< syscall.*
  };
};

struct ProbeInfo {
  std::string_view name;
  ProbeKind kind;
  bool classic;
  std::span<const Param> params;
  std::span<const Field> fields;  ///< of `event`
  std::uint32_t carries;
  std::uint32_t needs;
  std::string_view summary;
};

/// A value of the moment: "process.pid", "now".
struct MomentInfo {
  std::string_view group;  ///< "process"; empty for a value that stands alone
  std::string_view name;
  ValueType type;
  std::uint32_t carries;  ///< what the event must carry
  std::string_view summary;
  std::string_view guest_type = {};
};

struct RegisterInfo {
  std::string_view name;     ///< "rax"
  std::string_view classic;  ///< "EAX"; the name on 32 bits; empty if there is none
  enum Kind : std::uint8_t { general, segment, table, control } kind;
};

enum class FunctionKind : std::uint8_t {
  read_number,  ///< u8(a) .. s64(a), phys.u8(a)
  text,
  bytes,
  symbol,
  per_cpu,
  listed,
  missing,
  length,
  matches,
  contains,
  starts_with,
  ends_with,
  hex,
  lower,
  basename,
  absolute,
  aggregate,      ///< count() ...
  map_statement,  ///< delete(@m[k]), clear(@m), print(@m)
};

struct FunctionInfo {
  std::string_view name;
  FunctionKind kind;
  std::uint8_t least, most;  ///< arguments
  std::string_view written;  ///< "u32(address)"
  std::string_view summary;
  std::uint8_t bits = 0;  ///< read_number
  bool is_signed = false, physical = false;
};

enum class KeyKind : std::uint8_t { address, offset, reg, duration, rate };
/// For people: "an address".
[[nodiscard]] std::string_view describe(KeyKind kind) noexcept;

struct KeyInfo {
  std::string_view name;
  KeyKind kind;
  std::string_view symbol_or_member;  ///< what the guest itself says of it; empty if nothing
  std::string_view summary;
};

struct SystemCall {
  std::uint16_t number;
  std::string_view name;
};

[[nodiscard]] std::span<const ProbeInfo> probes() noexcept;
[[nodiscard]] std::span<const MomentInfo> moments() noexcept;
[[nodiscard]] std::span<const RegisterInfo> registers() noexcept;
[[nodiscard]] std::span<const FunctionInfo> functions() noexcept;
[[nodiscard]] std::span<const KeyInfo> configuration_keys() noexcept;
[[nodiscard]] std::span<const std::string_view> severities() noexcept;
[[nodiscard]] std::span<const std::string_view> process_list_fields() noexcept;
[[nodiscard]] std::span<const std::string_view> vmcs_fields() noexcept;
struct MsrName {
  std::string_view name;
  std::uint32_t index;
};
[[nodiscard]] std::span<const MsrName> msr_names() noexcept;
/// x86-64, by number. Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl (stable ABI).
[[nodiscard]] std::span<const SystemCall> system_calls() noexcept;

[[nodiscard]] const ProbeInfo* find_probe(std::string_view name) noexcept;
/// `Stop` as an action; find_probe("Stop") is the event.
[[nodiscard]] const ProbeInfo* stop_action() noexcept;
[[nodiscard]] const MomentInfo* find_moment(std::string_view group, std::string_view name) noexcept;
/// "process", "thread", "syscall": has fields.
[[nodiscard]] bool is_moment_group(std::string_view name) noexcept;
/// By either name, in any case of letters. A 32-bit name means the whole register.
[[nodiscard]] std::optional<std::uint8_t> find_register(std::string_view name) noexcept;
/// `name` as written: "u32", "phys.u32".
[[nodiscard]] const FunctionInfo* find_function(std::string_view name) noexcept;
[[nodiscard]] const KeyInfo* find_key(std::string_view name) noexcept;
[[nodiscard]] const SystemCall* find_system_call(std::string_view name) noexcept;
[[nodiscard]] std::string_view system_call_name(std::uint64_t number) noexcept;
/// Those of 32-bit programs, which have numbers of their own.
[[nodiscard]] std::string_view compat_system_call_name(std::uint64_t number) noexcept;
[[nodiscard]] std::optional<std::uint64_t> compat_system_call_number(
    std::string_view name) noexcept;

/// How it is written: "ReadMemory(address, size, output)".
[[nodiscard]] std::string signature(const ProbeInfo& probe);
/// `pattern` with * and ? against the whole of `text`. Linear in practice, quadratic at worst.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text) noexcept;

}  // namespace vitrine::vmipl
