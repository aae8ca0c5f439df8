// Where the addresses of programs end.
#pragma once

#include "x86/paging.h"

namespace vitrine::x86 {

/// The end of the lower half of what these tables reach: 2^47, or 2^56 with five levels.
[[nodiscard]] constexpr Gva user_end(PageRoot root) {
  return Gva{std::uint64_t{1} << (9 * root.levels + 11)};
}

}  // namespace vitrine::x86
