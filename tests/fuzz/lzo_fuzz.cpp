// An LZO stream of any bytes into buffers of the sizes that there are: it fills one or fails.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "format/lzo.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes stream(reinterpret_cast<const std::byte*>(data), size);
  for (const std::size_t room : {std::size_t{0}, std::size_t{32}, std::size_t{kPageSize}}) {
    std::vector<std::byte> into(room);  // its own allocation: a byte too far is seen
    (void)format::decode_lzo(stream, into);
  }
  return 0;
}
