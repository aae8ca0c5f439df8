// Instructions that touch the machine itself: control registers, MSRs, descriptor tables, ports.
//
// Not a disassembler: it knows the few instructions that the event engine looks for, in 64-bit
// code, and calls everything else `other`.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "x86/registers.h"

namespace vitrine::x86 {

/// Base + index * scale + displacement. Registers are numbered as instructions number them:
/// rax rcx rdx rbx rsp rbp rsi rdi r8 ... r15.
struct MemoryOperand {
  static constexpr std::uint8_t kNone = 0xff;
  std::uint8_t base = kNone, index = kNone, scale = 1;
  std::int64_t displacement = 0;  // of 32 bits, and a little more: "pop" adds to it
  bool rip_relative = false;      ///< displacement counts from the next instruction
  std::uint8_t segment = kNone;   ///< 4 fs, 5 gs; others have base 0 in long mode
  bool operator==(const MemoryOperand&) const = default;
};

struct SystemInstruction {
  enum Kind : std::uint8_t {
    other,
    write_control,  ///< mov crN, reg
    lmsw,
    clts,  ///< other ways to CR0
    wrmsr,
    lgdt,
    lidt,
    in,
    out,  ///< one value between a port and the accumulator
    ins,
    outs,  ///< a string of them, between a port and memory
  } kind = other;
  std::uint8_t control = 0;  ///< write_control: which
  std::uint8_t reg = 0;      ///< write_control, lmsw with a register: which general register
  std::uint8_t size = 0;     ///< ports: 1, 2 or 4 bytes
  std::optional<std::uint8_t> port;     ///< immediate; nothing: dx
  std::optional<MemoryOperand> memory;  ///< lgdt, lidt, lmsw

  /// The instruction can be followed only by what its result shows: `in`.
  [[nodiscard]] bool reads_port() const { return kind == in || kind == ins; }
  [[nodiscard]] bool writes_port() const { return kind == out || kind == outs; }
  bool operator==(const SystemInstruction&) const = default;
};

/// The instruction that `bytes` begin with. Bytes that are cut short, or no instruction of
/// those above, are `other`. Cost: a few comparisons.
/// Source: Intel SDM vol. 2, opcode maps; AMD APM vol. 3.
[[nodiscard]] SystemInstruction decode_system_instruction(Bytes bytes) noexcept;

/// Where a register of an instruction stands in x86::Gpr's order.
[[nodiscard]] constexpr Gpr gpr_of_encoding(std::uint8_t number) {
  constexpr std::array<Gpr, 16> kOrder = {kRax, kRcx, kRdx, kRbx, kRsp, kRbp, kRsi, kRdi,
                                          kR8,  kR9,  kR10, kR11, kR12, kR13, kR14, kR15};
  return kOrder[number & 15U];
}

}  // namespace vitrine::x86
