// A line of a hex dump.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/bytes.h"

namespace vitrine::cli {

inline constexpr std::size_t kBytesPerLine = 16;

/// "ffffffff81000000  48 8d 25 51 3f 80 01 48  8d 3d f2 ff ff ff b9 01  |H.%Q?..H.=......|".
/// What could not be read stands as ?? and, on the right, as a blank.
/// @param bytes     at most 16
/// @param readable  one per byte
[[nodiscard]] std::string hex_line(std::uint64_t address, Bytes bytes,
                                   std::span<const bool> readable);

}  // namespace vitrine::cli
