// An inferred memory map, held against what the kernel was told of its RAM.
#pragma once

#include "linux/kernel.h"

namespace vitrine::linux {

/// Compares a map that nobody told us (Machine::map_source() is `inferred`) with the
/// kernel's own e820_table_firmware, and records it in `health`: a check "inferred map", and
/// a warning with what to do where they disagree. Does nothing for other maps.
///
/// Symbols: e820_table_firmware, a pointer to struct e820_table (4.12 on): a count, then
/// packed entries of 20 bytes.
void check_inferred_map(const Kernel& kernel, Health& health);

}  // namespace vitrine::linux
