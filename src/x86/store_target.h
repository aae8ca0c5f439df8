// Where an instruction may write memory, as its registers stand before it runs.
//
// For whoever wants to see memory before a write: it names at least what the instruction writes by
// its own operands, and often more. What it does not know (EVEX, 16-bit addresses, mov to
// an absolute address of 64 bits) it calls none.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "x86/system_instruction.h"

namespace vitrine::x86 {

struct StoreTarget {
  enum Kind : std::uint8_t {
    none,
    operand,  ///< at `memory`
    stack,    ///< the bytes below the stack pointer
    string,   ///< at rdi, up or down
  } kind = none;
  MemoryOperand memory;
  std::uint16_t size = 0;      ///< bytes at most; of a string: of one element
  bool repeated = false;       ///< string: rcx elements
  bool narrow = false;         ///< addresses are of 32 bits
  bool atomic = false;         ///< lock, or xchg
  bool exchanges = false;      ///< atomic, and writes what an operand holds: xchg, and ...
  bool compares = false;       ///< ... only if rax (and rdx) is what stands there: cmpxchg
  std::uint8_t bits = 0;       ///< bts and its like: the operand's bytes ...
  std::uint8_t bit_index = 0;  ///< ... and the register that counts bits from it
  bool operator==(const StoreTarget&) const = default;
};

/// Of the instruction that `code` begins with; `long_mode`: 64-bit code, else 32-bit code.
/// Bytes that are cut short, or no instruction, are `none`. Cost: a few comparisons.
/// Source: Intel SDM vol. 2, opcode maps.
[[nodiscard]] StoreTarget decode_store_target(Bytes code, bool long_mode) noexcept;

}  // namespace vitrine::x86
