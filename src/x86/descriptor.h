// Descriptors of the interrupt descriptor table: where a CPU goes on a vector.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::x86 {

inline constexpr std::uint64_t kGateSize = 16;  ///< bytes, in long mode
inline constexpr unsigned kVectorCount = 256;

/// One gate of a long-mode IDT, as the CPU reads it.
/// Source: Intel SDM vol. 3A, "64-Bit Mode IDT".
struct Gate {
  Gva handler;
  std::uint16_t selector = 0;
  std::uint8_t type = 0;  ///< 0xe interrupt gate, 0xf trap gate; long mode has no other
  std::uint8_t dpl = 0;   ///< the privilege that `int n` needs
  std::uint8_t ist = 0;   ///< 1 to 7: a stack of the interrupt stack table; 0: none
  bool present = false;
  bool reserved_bits = false;  ///< a bit that must be 0 is set: the CPU would fault

  bool operator==(const Gate&) const = default;
};

/// @returns out_of_bounds  fewer than 16 bytes
[[nodiscard]] Result<Gate> decode_gate(Bytes bytes) noexcept;

/// "interrupt", "trap", or "" for a type that long mode does not have. Static storage.
[[nodiscard]] std::string_view gate_type_name(std::uint8_t type) noexcept;

/// What the architecture calls a vector: "#PF" for 14, "NMI" for 2. Empty for those that
/// it leaves to the system (32 to 255) or reserves. Static storage.
[[nodiscard]] std::string_view exception_name(unsigned vector) noexcept;

}  // namespace vitrine::x86
