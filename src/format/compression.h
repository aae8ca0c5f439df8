// The compressions that memory images use, behind one call.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

enum class Compression : std::uint8_t { none, zlib, lzo, snappy, zstd };

/// Decodes `from`, which must fill `into` exactly, and must not change meanwhile: of a file that is
/// mapped, a copy.
/// @returns malformed  it does not, or is no such stream
/// Cost: about 20 us for a page of zlib, a few us for the others.
[[nodiscard]] Result<void> decompress(Compression how, Bytes from, MutableBytes into);

/// How long a raw snappy block says it is once decoded.
/// @returns malformed  it does not say
[[nodiscard]] Result<std::uint64_t> snappy_length(Bytes block);

}  // namespace vitrine::format
