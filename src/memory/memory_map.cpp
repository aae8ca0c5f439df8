#include "memory/memory_map.h"

#include <algorithm>

namespace vitrine {
namespace {

constexpr std::uint64_t kPhysicalLimit = std::uint64_t{1} << 52;
constexpr std::size_t kMostSegments = 65536;

bool continues(const MapSegment& before, const MapSegment& after) {
  return before.range.end() == after.range.start && before.backing == after.backing &&
         before.offset + before.range.size == after.offset;
}

}  // namespace

Result<MemoryMap> MemoryMap::create(std::vector<MapSegment> segments) {
  std::erase_if(segments, [](const MapSegment& one) { return one.range.size == 0; });
  if (segments.size() > kMostSegments) return fail(Errc::too_large, 0, "memory map");
  std::ranges::sort(segments, {}, [](const MapSegment& one) { return one.range.start; });

  MemoryMap map;
  for (const auto& segment : segments) {
    const auto start = segment.range.start.value;
    if (start >= kPhysicalLimit || segment.range.size > kPhysicalLimit - start) {
      return fail(Errc::out_of_bounds, start, "memory map: beyond 2^52");
    }
    if (segment.offset + segment.range.size < segment.offset) {
      return fail(Errc::out_of_bounds, start, "memory map: backing wraps");
    }
    if (!map.segments_.empty()) {
      auto& last = map.segments_.back();
      if (segment.range.start < last.range.end()) {
        return fail(Errc::malformed, start, "memory map: overlap");
      }
      if (continues(last, segment)) {
        last.range.size += segment.range.size;
        continue;
      }
    }
    map.segments_.push_back(segment);
  }
  map.ranges_.reserve(map.segments_.size());
  for (const auto& segment : map.segments_) map.ranges_.push_back(segment.range);
  return map;
}

const MapSegment* MemoryMap::find_from(Gpa at) const noexcept {
  const auto after = std::ranges::upper_bound(
      segments_, at, {}, [](const MapSegment& one) { return one.range.start; });
  if (after != segments_.begin()) {
    const auto& before = *std::prev(after);
    if (before.range.contains(at)) return &before;
  }
  return after == segments_.end() ? nullptr : &*after;
}

const MapSegment* MemoryMap::find(Gpa at) const noexcept {
  const auto* segment = find_from(at);
  return segment != nullptr && segment->range.contains(at) ? segment : nullptr;
}

}  // namespace vitrine
