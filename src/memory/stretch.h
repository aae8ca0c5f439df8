// The RAM around an address, wherever its ranges were cut.
#pragma once

#include <optional>

#include "memory/physical_memory.h"

namespace vitrine {

/// The stretch of RAM without a hole that holds `at`: its range, and those that meet it. Nothing
/// where `at` is no RAM.
///
/// A guest does not see where one NUMA node's memory ends and the next one's begins, nor how an
/// image cut its ranges: what it keeps in one piece may lie across them.
[[nodiscard]] std::optional<GpaRange> stretch_at(const PhysicalMemory& memory, Gpa at);

}  // namespace vitrine
