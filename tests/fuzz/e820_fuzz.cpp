// Low memory of any bytes: a table that is found is in order, and judging a map by it ends.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "format/e820.h"
#include "machine/memory_layout.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes low(reinterpret_cast<const std::byte*>(data), size);
  (void)format::parse_e820(low, 0, size / 20);
  const auto found = format::find_e820(low);
  if (!found) return 0;
  Gpa last{0};
  for (const auto& entry : found->entries) {
    if (entry.range.start < last || entry.range.size == 0) std::abort();
    last = entry.range.end();
  }
  for (const auto& layout : raw_layouts(5 * kGiB)) {
    std::vector<GpaRange> ranges;
    for (const auto& segment : layout.segments) ranges.push_back(segment.range);
    (void)compare_map(ranges, found->entries);
  }
  return 0;
}
