// WatchedSpans: the memory that any probe watches, to be asked at every access.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace vitrine::probe {

class WatchedSpans {
 public:
  void add(std::uint64_t start, std::uint64_t size) {
    spans_.push_back({start, start + size - 1});
    std::sort(spans_.begin(), spans_.end(),
              [](const Span& a, const Span& b) { return a.first < b.first; });
    std::vector<Span> merged;
    for (const auto& span : spans_) {
      if (!merged.empty() && (span.first <= merged.back().last + 1 || merged.back().last == ~0ULL))
        merged.back().last = std::max(merged.back().last, span.last);
      else
        merged.push_back(span);
    }
    spans_ = std::move(merged);
    low_ = spans_.front().first;
    high_ = spans_.back().last;
  }
  [[nodiscard]] bool empty() const { return spans_.empty(); }

  /// Any byte of first to last is watched. Cost: two comparisons where nothing is near.
  [[nodiscard]] bool touched(std::uint64_t first, std::uint64_t last) const {
    if (first > high_ || last < low_) [[likely]]
      return false;
    const auto after = after_first(first);
    return (after != spans_.begin() && std::prev(after)->last >= first) ||
           (after != spans_.end() && after->first <= last);
  }

  struct Span {
    std::uint64_t first, last;
  };
  /// The least that holds all watched bytes of first to last, which touched() said there are.
  [[nodiscard]] Span part(std::uint64_t first, std::uint64_t last) const {
    const auto after = after_first(first);
    const bool inside = after != spans_.begin() && std::prev(after)->last >= first;
    const auto end = after_first(last);
    return {inside ? first : after->first, std::min(last, std::prev(end)->last)};
  }

 private:
  [[nodiscard]] std::vector<Span>::const_iterator after_first(std::uint64_t address) const {
    return std::upper_bound(spans_.begin(), spans_.end(), address,
                            [](std::uint64_t at, const Span& span) { return at < span.first; });
  }

  std::vector<Span> spans_;  ///< ascending, apart
  std::uint64_t low_ = ~0ULL, high_ = 0;
};

}  // namespace vitrine::probe
