// LiME images: a header and its bytes, again and again.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

inline constexpr std::uint32_t kLimeMagic = 0x4c694d45;

struct LimeRange {
  GpaRange range;
  std::uint64_t file_offset = 0;

  bool operator==(const LimeRange&) const = default;
};

struct LimeFile {
  std::vector<LimeRange> ranges;    ///< in the file's order
  std::uint64_t missing_bytes = 0;  ///< of the last range: the file ends early
  std::uint64_t stray_bytes = 0;    ///< after the last whole range, no header
};

/// Follows the headers through the whole file. Cost: 32 bytes read per range.
/// @returns malformed    the first header is none, or a range ends before it begins
/// @returns unsupported  a version other than 1 (2: compressed)
/// @returns too_large    more than 65536 ranges
/// Source: the LiME documentation, "Spec": version 1, 32-byte headers, e_addr inclusive.
[[nodiscard]] Result<LimeFile> parse_lime(Bytes file);

}  // namespace vitrine::format
