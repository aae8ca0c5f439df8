// How far a function of the kernel goes, and where it is left.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "linux/kernel.h"

namespace vitrine::probe {

/// Bytes up to the next symbol that is another's, or to where no code is mapped; at most 256 KiB.
[[nodiscard]] std::uint64_t reach_of(const linux::Kernel& kernel, Gva function);

/// Where a function and its cold parts leave it.
struct FunctionWays {
  struct Return {
    Gva address;
    bool foreign = false;  ///< it is of a function that this one ends in
  };
  std::vector<Return> returns;
  bool foreign = false;   ///< it ends in another function (a tail call)
  bool indirect = false;  ///< some end of it is a jump whose target cannot be read off
};
/// Read off its code; a tail call is followed.
/// @returns too_large  it ends in more than 64 others; else as find_function_exits()
[[nodiscard]] Result<FunctionWays> ways_out(const linux::Kernel& kernel, Gva function);

/// Its code has no way out but to functions that have none: panic, do_exit. False also where the
/// code cannot be read.
[[nodiscard]] bool never_returns(const linux::Kernel& kernel, Gva function);

inline constexpr const char* kNeverReturns = "it never returns: its code has no way out";

[[nodiscard]] bool is_return_thunk(const linux::Kernel& kernel, Gva target);

}  // namespace vitrine::probe
