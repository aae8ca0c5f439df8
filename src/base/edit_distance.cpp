#include "base/edit_distance.h"

#include <algorithm>
#include <array>

namespace vitrine {

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  constexpr std::size_t kLongest = 128;
  const std::size_t apart = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (apart > limit || a.size() > kLongest || b.size() > kLongest) return limit + 1;
  // Three rows of the table: this one, the one above, and the one above that, for swaps.
  std::array<std::size_t, kLongest + 1> rows[3];
  auto *before = &rows[0], *above = &rows[1], *row = &rows[2];
  for (std::size_t j = 0; j <= b.size(); ++j) (*above)[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t best = (*row)[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      auto& cell = (*row)[j];
      cell = std::min(
          {(*above)[j] + 1, (*row)[j - 1] + 1, (*above)[j - 1] + (a[i - 1] != b[j - 1] ? 1U : 0U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cell = std::min(cell, (*before)[j - 2] + 1);
      best = std::min(best, cell);
    }
    // A swap looks two rows back, and costs one: a row beyond the limit may still be passed over.
    if (best > limit + 1) return limit + 1;
    auto* const old = before;
    before = above;
    above = row;
    row = old;
  }
  return std::min((*above)[b.size()], limit + 1);
}

}  // namespace vitrine
