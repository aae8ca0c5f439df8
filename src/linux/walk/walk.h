// What all walkers of the guest's data structures share: their bound and how they end.
//
// A walker follows pointers that a hostile guest may have forged and a living guest
// may be changing. So every walker
//  - visits at most `limit` entries, and costs in proportion to what it visited;
//  - checks the structure's own redundancy (back pointers, depths, ranges), which
//    catches a loop where it closes;
//  - never fails as a whole: what was reached has been visited, and Walked says
//    whether, where and why the rest was not.
// A visitor is anything that takes the walker's arguments and answers `true` to go on,
// `false` to stop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/result.h"

namespace vitrine::linux {

/// How a walk ended.
struct Walked {
  std::size_t visited = 0;     ///< entries handed to the visitor
  std::size_t mismatches = 0;  ///< back pointers that did not lead back; the walk went on
  bool stopped = false;        ///< the visitor asked for no more
  bool truncated = false;      ///< the limit was reached: there may be more
  /// Why the rest could not be reached: not_present, not_canonical, outside_ram (an
  /// entry cannot be read), cycle, malformed (a pointer that cannot be one).
  std::optional<Error> broken;

  /// Everything was visited, and nothing contradicted itself.
  [[nodiscard]] bool sound() const { return !broken && !truncated && mismatches == 0; }
  /// Everything was visited (or the visitor had enough).
  [[nodiscard]] bool complete() const { return !broken && !truncated; }
};

/// Could this be a pointer to a kernel object? (canonical, upper half, aligned as asked)
[[nodiscard]] constexpr bool is_kernel_pointer(Gva at, std::uint64_t alignment = 8) {
  return at.value >> 56 == 0xff && at.value % alignment == 0 && at.value < 0xffff'ffff'ffff'f000;
}

}  // namespace vitrine::linux
