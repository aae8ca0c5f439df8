#include "format/compression.h"

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "format/lzo.h"

namespace vitrine::format {
namespace {

bool fills(Compression how, Bytes from, MutableBytes into) {
  const auto* source = reinterpret_cast<const char*>(from.data());
  auto* target = reinterpret_cast<char*>(into.data());
  switch (how) {
    case Compression::none:
      if (from.size() != into.size()) return false;
      if (!from.empty()) std::memcpy(target, source, from.size());
      return true;
    case Compression::zlib: {
      uLongf size = into.size();
      return uncompress(reinterpret_cast<Bytef*>(target), &size,
                        reinterpret_cast<const Bytef*>(source), from.size()) == Z_OK &&
             size == into.size();
    }
    case Compression::lzo:
      return decode_lzo(from, into).has_value();
    case Compression::snappy: {
      std::size_t size = into.size();
      const auto said = snappy_length(from);  // the library writes no more than it says
      return said && *said == into.size() &&
             snappy_uncompress(source, from.size(), target, &size) == SNAPPY_OK;
    }
    case Compression::zstd:
      return ZSTD_decompress(target, into.size(), source, from.size()) == into.size();
  }
  return false;
}

}  // namespace

Result<void> decompress(Compression how, Bytes from, MutableBytes into) {
  if (!fills(how, from, into)) return fail(Errc::malformed, 0, "compressed data");
  return {};
}

Result<std::uint64_t> snappy_length(Bytes block) {
  std::size_t length = 0;
  if (snappy_uncompressed_length(reinterpret_cast<const char*>(block.data()), block.size(),
                                 &length) != SNAPPY_OK) {
    return fail(Errc::malformed, 0, "snappy block");
  }
  return length;
}

}  // namespace vitrine::format
