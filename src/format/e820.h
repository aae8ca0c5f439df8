// e820: the memory map that firmware hands to the kernel, as entries of 20 bytes.
//
// SeaBIOS keeps its table in the shadow RAM below 1 MiB; a Linux boot_params and the
// kernel's own e820_table hold the same entries.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"

namespace vitrine::format {

struct E820Entry {
  static constexpr std::uint32_t kRam = 1;

  GpaRange range;
  std::uint32_t type = 0;  ///< 1: RAM; 2: reserved; 3 and 4: ACPI

  bool operator==(const E820Entry&) const = default;
};

/// `count` packed entries at `offset`, or nothing if they leave the view or one is empty
/// or passes 2^52.
[[nodiscard]] std::optional<std::vector<E820Entry>> parse_e820(Bytes bytes, std::uint64_t offset,
                                                               std::uint64_t count);

struct FoundE820 {
  std::uint64_t offset = 0;  ///< in the bytes that were searched
  std::vector<E820Entry> entries;
};

/// Looks for a PC's table in low memory: an entry of RAM at 0 that ends where the EBDA
/// begins, followed by entries in ascending order. At most 128 are taken.
[[nodiscard]] std::optional<FoundE820> find_e820(Bytes low_memory);

}  // namespace vitrine::format
