#include "memory/joined_memory.h"

#include <algorithm>

namespace vitrine {

Result<std::unique_ptr<PhysicalMemory>> JoinedMemory::create(
    std::vector<std::unique_ptr<PhysicalMemory>> parts) {
  if (parts.size() == 1) return std::move(parts.front());
  std::vector<MapSegment> segments;
  for (std::uint32_t i = 0; i < parts.size(); ++i) {
    for (const auto& range : parts[i]->ram()) segments.push_back({range, i, range.start.value});
  }
  auto map = TRY(MemoryMap::create(std::move(segments)));
  return std::unique_ptr<PhysicalMemory>(new JoinedMemory(std::move(parts), std::move(map)));
}

Result<void> JoinedMemory::read(Gpa from, MutableBytes into) const {
  return map_.for_each_piece(
      from, into.size(),
      [&](const MapSegment& segment, std::uint64_t place, std::uint64_t done, std::uint64_t size) {
        return parts_[segment.backing]->read(Gpa{place}, into.subspan(done, size));
      });
}

std::size_t JoinedMemory::read_batch(std::span<BatchRead> batch) const {
  std::size_t done = 0;
  std::vector<std::vector<std::size_t>> members(parts_.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto* segment = map_.find(batch[i].from);
    const bool one_part =
        segment != nullptr && batch[i].into.size() <= segment->range.end() - batch[i].from;
    if (one_part) {
      members[segment->backing].push_back(i);
    } else {
      batch[i].ok = read(batch[i].from, batch[i].into).has_value();
      done += batch[i].ok ? 1 : 0;
    }
  }
  std::vector<BatchRead> mine;
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    if (members[part].empty()) continue;
    mine.clear();
    for (const auto i : members[part]) mine.push_back(batch[i]);
    done += parts_[part]->read_batch(mine);
    for (std::size_t k = 0; k < mine.size(); ++k) batch[members[part][k]].ok = mine[k].ok;
  }
  return done;
}

Bytes JoinedMemory::window(Gpa from, std::uint64_t size) const noexcept {
  const auto* segment = map_.find(from);
  if (segment == nullptr || size > segment->range.end() - from) return {};
  return parts_[segment->backing]->window(from, size);
}

std::optional<GpaRange> JoinedMemory::next_populated(Gpa from) const {
  while (const auto* segment = map_.find_from(from)) {
    const Gpa start = std::max(from, segment->range.start);
    const auto found = parts_[segment->backing]->next_populated(start);
    // What this part says of addresses beyond this segment may skip another part's.
    if (found && found->start < segment->range.end()) {
      return GpaRange{found->start, std::min(found->end(), segment->range.end()) - found->start};
    }
    from = segment->range.end();
  }
  return std::nullopt;
}

}  // namespace vitrine
