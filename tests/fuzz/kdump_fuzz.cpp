// A kdump-compressed dump of any bytes, flattened or not: every page that it says to have is asked
// for.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "format/kdump.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes file(reinterpret_cast<const std::byte*>(data), size);
  const auto dump = format::Kdump::open(file);
  if (!dump) return 0;
  std::vector<std::byte> page(dump->block_size());
  std::uint64_t pages = 0;
  Gpa end{0};
  for (const auto& range : dump->ranges()) {
    if (range.size == 0 || range.start < end || range.size % dump->block_size() != 0) std::abort();
    end = range.end();
    for (auto at = range.start; at < end && pages < 256; at += dump->block_size(), ++pages) {
      if (const auto done = dump->read_page(at.value / dump->block_size(), page);
          !done && done.error().code == Errc::outside_ram)
        std::abort();
    }
  }
  if (dump->read_page(end.value / dump->block_size(), page)) std::abort();
  return 0;
}
