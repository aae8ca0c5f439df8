// Program: what a script becomes. Compact, self-contained, verified, loadable from bytes.
//
// The interpreter runs it where the event happens, on a virtual CPU's thread: it needs no
// name, no allocation and no look-up there. Two register files, of numbers (64 bits and a
// "missing" mark each) and of texts, so that a look at each instruction alone shows that it
// mistakes neither for the other. All registers are missing when a firing starts. There are
// no calls: functions were expanded. Loops are backward jumps; the budget of a firing ends
// them. The meaning of each opcode stands beside it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "vmipl/ports.h"
#include "vmipl/value_type.h"

namespace vitrine::vmipl {

inline constexpr unsigned kMaxNumbers = 200;  ///< number registers of a probe
inline constexpr unsigned kMaxTexts = 50;     ///< text registers of a probe
inline constexpr unsigned kMaxCode = 65535;   ///< instructions of a program
inline constexpr unsigned kMaxMaps = 250;
inline constexpr unsigned kMaxKeys = 8;
inline constexpr unsigned kMaxViewSlots = 8;     ///< loops over views within each other
inline constexpr unsigned kMaxTextBytes = 4096;  ///< string() and bytes()

// Operands: a, b, c are registers unless said otherwise; n[] number registers, t[] text
// registers, imm the immediate. Unless said otherwise a result is missing if an operand is.
#define VITRINE_OPCODES(X)                                                                       \
  X(halt, none, none, none, none)  /* the firing ends */                                         \
  X(number, n, none, none, number) /* n[a] = numbers[imm] */                                     \
  X(text, t, none, none, text)     /* t[a] = texts[imm] */                                       \
  X(move, n, n, none, none)                                                                      \
  X(move_text, t, t, none, none)                                                                 \
  X(lose, n, none, none, none) /* n[a] = missing */                                              \
  X(lose_text, t, none, none, none)                                                              \
  X(add, n, n, n, none) /* modulo 2^64, as sub and mul */                                        \
  X(sub, n, n, n, none)                                                                          \
  X(mul, n, n, n, none)                                                                          \
  X(div_s, n, n, n, none) /* by zero: missing; INT64_MIN / -1 wraps */                           \
  X(div_u, n, n, n, none)                                                                        \
  X(rem_s, n, n, n, none)                                                                        \
  X(rem_u, n, n, n, none)                                                                        \
  X(bit_and, n, n, n, none)                                                                      \
  X(bit_or, n, n, n, none)                                                                       \
  X(bit_xor, n, n, n, none)                                                                      \
  X(shl, n, n, n, none) /* by 64 or more: 0 (shr_s: the sign) */                                 \
  X(shr_s, n, n, n, none)                                                                        \
  X(shr_u, n, n, n, none)                                                                        \
  X(negate, n, n, none, none)                                                                    \
  X(bit_not, n, n, none, none)                                                                   \
  X(logic_not, n, n, none, none) /* 1 if zero, else 0 */                                         \
  X(truth, n, n, none, none)     /* 0 if zero, else 1 */                                         \
  X(absolute, n, n, none, none)                                                                  \
  X(eq, n, n, n, none)    /* the same bits */                                                    \
  X(eq_su, n, n, n, none) /* signed b, unsigned c: the same number */                            \
  X(lt_s, n, n, n, none)                                                                         \
  X(lt_u, n, n, n, none)                                                                         \
  X(lt_su, n, n, n, none) /* signed b < unsigned c, as numbers */                                \
  X(lt_us, n, n, n, none)                                                                        \
  X(logic_and, n, n, n, none) /* false if either is; else missing if either is */                \
  X(logic_or, n, n, n, none)  /* true if either is; else missing if either is */                 \
  X(text_eq, n, t, t, none)                                                                      \
  X(text_lt, n, t, t, none)                                                                      \
  X(missing, n, n, none, none) /* 1 if n[b] is missing, else 0; never missing */                 \
  X(missing_text, n, t, none, none)                                                              \
  X(extend_s, n, n, bits, none) /* the low c bits, sign-extended */                              \
  X(extend_u, n, n, bits, none)                                                                  \
  X(jump, none, none, none, code)                                                                \
  X(jump_if, none, n, none, code)     /* n[b] is there and not zero */                           \
  X(jump_unless, none, n, none, code) /* n[b] is missing or zero */                              \
  X(jump_false, none, n, none, code)  /* n[b] is there and zero */                               \
  X(read, n, n, width, number)        /* n[a] = memory at n[b] + numbers[imm] */                 \
  X(read_bits, n, n, none, bits3) /* bit field: numbers[imm] = byte offset, then first bit, then \
                                     width | 0x100 if signed */                                  \
  X(read_physical, n, n, width, none)                                                            \
  X(read_text, t, n, none, number) /* up to its NUL, at most numbers[imm] bytes */               \
  X(read_bytes, t, n, n, none)     /* n[c] bytes, at most kMaxTextBytes */                       \
  X(moment, n, none, none, moment) /* moments()[imm] */                                          \
  X(moment_text, t, none, none, moment)                                                          \
  X(event, n, none, none, field) /* field imm of the firing probe */                             \
  X(event_text, t, none, none, field)                                                            \
  X(reg, n, none, none, reg)  /* registers()[imm] */                                             \
  X(symbol, t, n, none, none) /* "do_exit+0x12" */                                               \
  X(per_cpu, n, n, n, none)   /* address of variable n[b] on CPU n[c] */                         \
  X(listed, n, n, none, none)                                                                    \
  X(length, n, t, none, none)                                                                    \
  X(matches, n, t, t, none)                                                                      \
  X(contains, n, t, t, none)                                                                     \
  X(starts_with, n, t, t, none)                                                                  \
  X(ends_with, n, t, t, none)                                                                    \
  X(hex, t, t, none, none)                                                                       \
  X(lower, t, t, none, none)                                                                     \
  X(basename, t, t, none, none)                                                                  \
  X(map_get, n, map, count,                                                                      \
    operands) /* keys: c operands; missing if not there or a key is missing */                   \
  X(map_get_text, t, map, count, operands)                                                       \
  X(map_set, n, map, count, operands) /* of a missing value: nothing happens */                  \
  X(map_set_text, t, map, count, operands)                                                       \
  X(map_add, n, map, count, operands)    /* adds; an entry that is not there is 0 */             \
  X(map_update, n, map, count, operands) /* the map's aggregation takes n[a] */                  \
  X(map_delete, none, map, count, operands)                                                      \
  X(map_clear, none, map, none, none)                                                            \
  X(map_length, n, map, none, none)                                                              \
  X(view_open, slot, none, none, view)                                                           \
  X(view_next, slot, none, none, code) /* the next row, or jump */                               \
  X(column, n, slot, none, column)                                                               \
  X(column_text, t, slot, none, column)                                                          \
  X(emit, none, none, none, site) /* sites[imm]: print, report, data probe, action */

enum class Opcode : std::uint8_t {
#define X(name, a, b, c, imm) name,
  VITRINE_OPCODES(X)
#undef X
      count_
};

/// What an operand place of an opcode holds.
enum class Place : std::uint8_t {
  none,
  n,
  t,
  bits /* 1..64 */,
  width /* 1, 2, 4, 8; | 0x80: signed */,
  map,
  count,
  slot,
  number,
  text,
  code,
  bits3,
  moment,
  field,
  reg,
  operands,
  view,
  column,
  site,
};
struct OpcodeInfo {
  std::string_view name;
  Place a, b, c, imm;
};
[[nodiscard]] const OpcodeInfo& info(Opcode opcode) noexcept;

struct Instruction {
  Opcode op = Opcode::halt;
  std::uint8_t a = 0, b = 0, c = 0;
  std::int32_t imm = 0;
  bool operator==(const Instruction&) const = default;
};
static_assert(sizeof(Instruction) == 8);

/// A register named in an operand list.
struct Operand {
  static constexpr std::uint16_t kText = 0x8000;
  std::uint16_t bits = 0;
  [[nodiscard]] bool is_text() const { return (bits & kText) != 0; }
  [[nodiscard]] std::uint8_t index() const { return static_cast<std::uint8_t>(bits & 0xff); }
  bool operator==(const Operand&) const = default;
};

enum class Aggregate : std::uint8_t { none, count, sum, min, max, avg, stats, histogram, linear };
[[nodiscard]] std::string_view name(Aggregate aggregate) noexcept;

struct MapInfo {
  std::string name;
  std::vector<ValueType> keys;
  ValueType value = ValueType::integer;
  Aggregate aggregate = Aggregate::none;
  std::int64_t low = 0, high = 0, step = 0;  ///< linear
  bool operator==(const MapInfo&) const = default;
};

struct Output {
  bool channel = true;
  std::string name;  ///< of the channel, or the path
  bool operator==(const Output&) const = default;
};

/// Where something leaves the program.
struct Site {
  static constexpr std::uint16_t kStandard = 0xffff;  ///< output: where the script's text goes
  std::uint8_t probe =
      0;  ///< index into catalogue probes(): Print, Report, ReadMemory ...; see is_map_print
  bool is_map_print = false;  ///< print(@map): numbers[0] is the map
  std::uint16_t output = kStandard;
  std::string format;                  ///< Print, Report
  std::string symptom;                 ///< Report
  std::vector<std::uint64_t> numbers;  ///< constants: register ids, field sets, severity, map
  std::vector<std::string> texts;      ///< constants: paths, devices
  std::vector<Operand> operands;       ///< values, in order
  std::vector<ValueType> types;        ///< of each operand
  std::uint32_t line = 0;
  bool operator==(const Site&) const = default;
};

struct ProbeArgument {
  enum Kind : std::uint8_t { number, text, symbol, pattern } kind = number;
  std::uint64_t number_value = 0;  ///< symbol: what is added to its address
  std::string text_value;
  bool operator==(const ProbeArgument&) const = default;
};

struct ProgramProbe {
  std::uint8_t probe = 0;  ///< index into catalogue probes()
  std::vector<ProbeArgument> arguments;
  std::uint32_t entry = 0, end = 0;        ///< code[entry, end); nothing of it for streams
  std::uint8_t numbers = 0, texts = 0;     ///< registers used
  std::uint16_t output = Site::kStandard;  ///< streams
  std::uint32_t line = 0;
  std::string symptom;  ///< the Symptom it belongs to
  bool operator==(const ProgramProbe&) const = default;
};

struct ViewUse {
  std::string view;
  std::vector<std::string> columns;  ///< those that are looked at
  std::vector<ValueType> types;
  bool operator==(const ViewUse&) const = default;
};

/// A number of the pool that depends on the guest's kernel: bind() sets it.
struct Relocation {
  enum Kind : std::uint8_t {
    symbol,     ///< numbers[number] = address of `name` + addend
    member,     ///< numbers[number] = byte offset of `name` ("struct task_struct.mm")
    bits,       ///< numbers[number, +3) = byte offset, first bit, width | 0x100 if signed
    type_size,  ///< numbers[number] = bytes of `name`
    text_size,  ///< numbers[number] = bytes of the array `name`, a member
  } kind = symbol;
  std::uint32_t number = 0;
  std::string name;
  std::uint64_t addend = 0;
  std::uint8_t width = 0;  ///< member: bytes read; another width there is another program
  bool is_signed = false;
  bool operator==(const Relocation&) const = default;
};

struct SymptomInfo {
  std::string name, technique, text;
  std::uint8_t severity = 0;
  bool operator==(const SymptomInfo&) const = default;
};

struct Setting {
  std::uint8_t key = 0;     ///< index into configuration_keys()
  std::uint64_t value = 0;  ///< a register's index for SyscallNumberLocation
  bool operator==(const Setting&) const = default;
};

struct Program {
  std::vector<Instruction> code;
  std::vector<std::uint64_t> numbers;
  std::vector<std::string> texts;
  std::vector<Operand> operands;
  std::vector<MapInfo> maps;
  std::vector<Output> outputs;
  std::vector<Site> sites;
  std::vector<ProgramProbe> probes;  ///< in script order
  std::vector<ViewUse> views;
  std::vector<Relocation> relocations;
  std::vector<SymptomInfo> symptoms;
  std::vector<Setting> settings;
  std::uint32_t needs = 0;  ///< Needs
  bool fixed = false;       ///< uses offsets that cannot be relocated: for this kernel alone
  bool operator==(const Program&) const = default;
};

/// Why a program is refused: a literal, and where (an instruction, a table's row).
struct Refusal {
  std::string_view why;
  std::size_t where = 0;
};

/// Everything the interpreter relies on: operands within their files and tables, jumps within
/// the probe, types of operand lists, sizes. Cost: linear in the program.
[[nodiscard]] std::optional<Refusal> verify(const Program& program);

/// To bytes; load() gives the same program.
[[nodiscard]] std::vector<std::byte> save(const Program& program);
/// From bytes that may be forged. What it gives was verified.
/// @returns malformed    not a program, cut short, or refused by verify(); `what` says why
/// @returns unsupported  of another version of Vitrine
/// @returns too_large    a table beyond the limits
/// Cost: linear in the bytes; nothing is allocated beyond a small multiple of them.
[[nodiscard]] Result<Program> load_program(Bytes bytes);

/// Sets what depends on the kernel. `problems` gets a sentence for each name that is not there
/// or has another shape. @returns true if there was none. Ports that are null find nothing.
[[nodiscard]] bool bind(Program& program, const Ports& ports, std::vector<std::string>& problems);

/// A listing for people and golden tests.
[[nodiscard]] std::string list(const Program& program);

}  // namespace vitrine::vmipl
