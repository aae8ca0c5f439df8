// What the classic data probes read, as values behind their site's operands.
//
//   ReadRegister   general and control registers: the value. Segments: selector, base, limit,
//                  attributes. GDTR, IDTR: base, limit.
//   ReadMemory     the bytes, as one text
//   ReadMemoryAt   the address, then the bytes
//   ProcessList, ReadVMCS   nothing here: the host appends them (a row's fields after the other's)
//
// What cannot be had is missing, never left out. Nothing is allocated: it runs at the event.
#pragma once

#include <span>

#include "probe/environment.h"
#include "probe/value.h"
#include "vmipl/program.h"

namespace vitrine::probe {

inline constexpr std::size_t kMaxDataBytes = 65536;  ///< of one ReadMemory
inline constexpr std::size_t kMaxDataValues = 4;     ///< that read_data() appends

/// True for the sites whose values read_data() gives.
[[nodiscard]] bool is_local_data(const vmipl::Site& site) noexcept;

/// Reads what the site asks for into `values`, with bytes in `room` (kMaxDataBytes; they must
/// outlive the values). `operands` are the site's. @returns how many values; 0 for other sites
std::size_t read_data(const vmipl::Site& site, std::span<const ValueView> operands,
                      Environment& environment, std::span<char> room,
                      std::span<ValueView> values) noexcept;

}  // namespace vitrine::probe
