// Functions of the kernel as a script names them, and how far each goes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/problem.h"
#include "linux/kernel.h"

namespace vitrine::probe {

/// Where the symbol `name` is, of the kernel or a module.
/// @returns not_found  it has none, or not yet (a module's)
/// @returns invalid    several places have the name: which, and how to write the one that is meant
[[nodiscard]] Outcome<Gva> place_named(const linux::Kernel& kernel, std::string_view name);

/// Bytes up to the next symbol that is another's; at most 256 KiB.
[[nodiscard]] std::uint64_t reach_of(const linux::Kernel& kernel, Gva function);

/// Its code has no way out but to functions that have none: panic, do_exit. False also where the
/// code cannot be read.
[[nodiscard]] bool never_returns(const linux::Kernel& kernel, Gva function);

inline constexpr const char* kNeverReturns = "it never returns: its code has no way out";

[[nodiscard]] bool is_code(char symbol_type) noexcept;
[[nodiscard]] bool is_return_thunk(const linux::Kernel& kernel, Gva target);

}  // namespace vitrine::probe
