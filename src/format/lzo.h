// LZO1X, the compression of kdump's dumps with `-l`. Debian's library for it is GPL,
// hence a decoder of our own (docs/adr/0019-packed-images.md).
#pragma once

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

/// Decodes one LZO1X stream (bitstream version 0), which must fill `into` exactly.
/// Cost: one pass; nothing is allocated.
/// @returns malformed      the stream ends early, goes on behind its end, reaches back before its
///                         beginning, or is of another length
/// Source: Linux Documentation/staging/lzo.rst.
[[nodiscard]] Result<void> decode_lzo(Bytes stream, MutableBytes into);

}  // namespace vitrine::format
