#include "memory/physical_memory.h"

namespace vitrine {

std::size_t PhysicalMemory::read_batch(std::span<BatchRead> batch) const {
  std::size_t done = 0;
  for (auto& one : batch) {
    one.ok = read(one.from, one.into).has_value();
    done += one.ok ? 1 : 0;
  }
  return done;
}

std::optional<GpaRange> PhysicalMemory::next_populated(Gpa from) const {
  for (const auto& range : ram()) {
    if (from < range.start) return range;
    if (range.contains(from)) return GpaRange{from, range.end() - from};
  }
  return std::nullopt;
}

std::uint64_t PhysicalMemory::size_bytes() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& range : ram()) sum += range.size;
  return sum;
}

}  // namespace vitrine
