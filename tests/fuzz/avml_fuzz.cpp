// A compressed AVML image of any bytes: chunks lie in the file and unpack or fail.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "format/avml.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes file(reinterpret_cast<const std::byte*>(data), size);
  const auto image = format::parse_avml(file);
  if (!image) return 0;
  for (const auto& chunk : image->chunks) {
    const auto packed = slice(file, chunk.file_offset, chunk.packed_size);
    if (!packed || chunk.range.size == 0 || chunk.range.size > 64 * kKiB) std::abort();
    std::vector<std::byte> into(chunk.range.size);
    (void)format::decompress(chunk.how, *packed, into);
  }
  return 0;
}
