// AVML's compressed images (`avml --compress`): LiME's headers, each before a stream of
// snappy frames and the stream's length.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "format/compression.h"

namespace vitrine::format {

inline constexpr std::string_view kAvmlMagic = "AVML";

/// A piece of guest memory that decodes by itself.
struct AvmlChunk {
  GpaRange range;                 ///< at most 64 KiB
  std::uint64_t file_offset = 0;  ///< of the packed bytes
  std::uint32_t packed_size = 0;
  Compression how = Compression::none;  ///< none or snappy
};

struct AvmlFile {
  std::vector<AvmlChunk> chunks;    ///< in the file's order
  std::uint64_t missing_bytes = 0;  ///< of guest memory: the file ends early
};

/// Follows headers and frames through the whole file; nothing is decoded. Cost: some 50 bytes
/// read per chunk.
/// @returns malformed    a header or a frame that is none, or chunks beyond their range
/// @returns unsupported  another version, a frame that must not be skipped
/// @returns too_large    more than 2^24 chunks
/// Source: the frame format of snappy, framing_format.txt; AVML src/image.rs.
[[nodiscard]] Result<AvmlFile> parse_avml(Bytes file);

}  // namespace vitrine::format
