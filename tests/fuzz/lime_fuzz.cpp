// A LiME file of any bytes: whatever is accepted lies inside the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "format/image_kind.h"
#include "format/lime.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes file(reinterpret_cast<const std::byte*>(data), size);
  (void)format::guess_image(file);
  const auto lime = format::parse_lime(file);
  if (!lime) return 0;
  for (const auto& one : lime->ranges) {
    if (one.range.size == 0 || one.file_offset > size || one.range.size > size - one.file_offset)
      std::abort();
  }
  return 0;
}
