#include "memory/stretch.h"

namespace vitrine {

std::optional<GpaRange> stretch_at(const PhysicalMemory& memory, Gpa at) {
  std::optional<GpaRange> stretch;
  for (const auto& range : memory.ram()) {
    if (stretch && stretch->end() == range.start) {
      stretch->size += range.size;
    } else if (stretch && stretch->contains(at)) {
      break;
    } else {
      stretch = range;
    }
  }
  return stretch && stretch->contains(at) ? stretch : std::nullopt;
}

}  // namespace vitrine
