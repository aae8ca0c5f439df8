// MemoryMap: which guest-physical range lies where in which backing, with holes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace vitrine {

/// A piece of guest RAM: `range` lies at `offset` of backing number `backing` (a
/// file, a process's address space: the source that holds the map knows which).
struct MapSegment {
  GpaRange range;
  std::uint32_t backing = 0;
  std::uint64_t offset = 0;  ///< bytes into the file, or a host-virtual address

  constexpr bool operator==(const MapSegment&) const = default;
};

/// Sorted segments without overlap. What no segment covers is a hole.
/// Threads: immutable once created.
class MemoryMap {
 public:
  MemoryMap() = default;

  /// Sorts, drops empty segments, and joins those that continue each other in the
  /// same backing.
  /// @returns malformed      two segments overlap; `error().address` is where.
  /// @returns out_of_bounds  a segment passes 2^52 (the most x86 can address), or
  ///                         its place in the backing wraps.
  /// @returns too_large      more than 65536 segments.
  [[nodiscard]] static Result<MemoryMap> create(std::vector<MapSegment> segments);

  [[nodiscard]] std::span<const MapSegment> segments() const noexcept { return segments_; }
  /// The ranges alone, in the same order: what PhysicalMemory::ram() answers.
  [[nodiscard]] std::span<const GpaRange> ranges() const noexcept { return ranges_; }
  [[nodiscard]] bool empty() const noexcept { return segments_.empty(); }

  /// The segment that holds `at`, or null. Cost: a binary search.
  [[nodiscard]] const MapSegment* find(Gpa at) const noexcept;
  /// The first segment that holds `at` or begins after it, or null.
  [[nodiscard]] const MapSegment* find_from(Gpa at) const noexcept;

  /// Calls `piece(segment, place in its backing, bytes before this piece, size)` for
  /// each piece of [from, from + size), in order, until it fails.
  /// @returns outside_ram at the first byte in a hole; else what `piece` returns.
  template <class Piece>
  Result<void> for_each_piece(Gpa from, std::uint64_t size, Piece&& piece) const {
    std::uint64_t done = 0;
    while (done < size) {
      const Gpa at = from + done;
      const MapSegment* segment = find(at);
      if (segment == nullptr) [[unlikely]]
        return fail(Errc::outside_ram, at.value, "memory map");
      const std::uint64_t into = at - segment->range.start;
      const std::uint64_t take =
          size - done < segment->range.size - into ? size - done : segment->range.size - into;
      if (auto one = piece(*segment, segment->offset + into, done, take); !one) [[unlikely]]
        return one;
      done += take;
    }
    return {};
  }

 private:
  std::vector<MapSegment> segments_;
  std::vector<GpaRange> ranges_;
};

}  // namespace vitrine
