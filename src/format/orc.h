// ORC: the kernel's own tables for walking its stacks, as bytes.
//
// One table has places (32-bit, each relative to where it stands), sorted by the address of
// code that they name; a second has, at the same index, the rule that holds from there on: how
// to find the caller's stack pointer, return address and frame pointer. Where the members
// of a rule lie, the caller knows (from BTF): the structure has changed four times.
//
// The three things that matter: OrcLayout, OrcRule, find_orc().
//
// Source: Linux arch/x86/include/asm/orc_types.h, 4.14 to 7.3: commits ffb1b4a41016 (6.3: a
// bit `signal`) and fb799447ae29 (6.4: no bit `end`, types counted from `undefined` on).
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

/// Bits of a rule, counted from its first byte's lowest one. No width: no such member.
struct OrcBits {
  std::uint16_t shift = 0;
  std::uint8_t width = 0;
};

/// How a kernel numbers the bases of its rules. No type tells: find_orc_numbering() does.
enum class OrcNumbering : std::uint8_t {
  first,   ///< seen up to 6.12: sp is 5, di 3, the previous sp 1
  second,  ///< seen in 7.x: sp is 3, di 5, the previous sp 8, bp indirect 10
};

struct OrcLayout {
  std::uint32_t size = 6;  ///< of a rule, bytes; at most kMaxOrcRule
  OrcBits sp_offset, bp_offset, sp_base, bp_base, type;
  OrcBits signal;  ///< from 6.3 on
  OrcBits end;     ///< until 6.3; its absence tells the newer numbering of types
  OrcNumbering numbering = OrcNumbering::first;
};

inline constexpr std::uint32_t kMaxOrcRule = 16;

/// What stands where a rule leads.
enum class OrcKind : std::uint8_t {
  undefined,            ///< nothing is known here: the walk cannot go on
  end,                  ///< the last frame: nothing called this
  call,                 ///< a return address below the caller's stack pointer
  registers,            ///< a whole struct pt_regs
  interrupt_registers,  ///< the part of it that the processor pushes: ip, cs, flags, sp, ss
};

/// What an offset is added to.
enum class OrcBase : std::uint8_t {
  undefined,
  previous_sp,  ///< the stack pointer just found: for the frame pointer alone
  dx,
  di,
  bp,
  sp,
  r10,
  r13,
  bp_indirect,  ///< what lies at bp + offset
  sp_indirect,  ///< what lies at sp, plus offset
};

struct OrcRule {
  OrcKind kind = OrcKind::undefined;
  OrcBase sp_base = OrcBase::undefined, bp_base = OrcBase::undefined;
  std::int16_t sp_offset = 0, bp_offset = 0;  ///< bytes
  /// The address found is that of the instruction itself, not one after a call.
  bool exact = false;
};

/// The first `layout.size` bytes of `bytes` as a rule.
/// @returns out_of_bounds  fewer bytes than a rule has
/// @returns invalid        a layout whose members leave the rule, or without one that is needed
/// @returns malformed      a type or base that no kernel knows
[[nodiscard]] Result<OrcRule> parse_orc(Bytes bytes, const OrcLayout& layout) noexcept;

/// The numbering under which more of these rules begin as functions do: with the return address
/// right at the stack pointer. A few hundred rules of a kernel leave no doubt.
[[nodiscard]] OrcNumbering find_orc_numbering(Bytes rules, const OrcLayout& layout) noexcept;

/// The rule of code that is known to use a frame pointer.
[[nodiscard]] constexpr OrcRule frame_pointer_rule() noexcept {
  return {OrcKind::call, OrcBase::bp, OrcBase::previous_sp, 16, -16, false};
}

/// The index of the last place in `places` at or before `address`; of several equal ones,
/// the last. Nothing if all lie after it. Of a table that is not sorted, some index or none.
/// @param places  32-bit values, the first of which stands at `start`; a rest is left out
[[nodiscard]] std::optional<std::size_t> find_orc(Bytes places, std::uint64_t start,
                                                  std::uint64_t address) noexcept;

}  // namespace vitrine::format
