// Functions of the kernel as a script names them, and how far each goes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/kernel.h"
#include "vmipl/module_pattern.h"

namespace vitrine::probe {

struct NamedFunction {
  Gva address;
  std::string name;
};
/// The functions of the kernel and its modules that a pattern fits, by address, at most `most` and
/// one more. "MODULE:PATTERN" means that module's alone.
[[nodiscard]] std::vector<NamedFunction> functions_named(const linux::Kernel& kernel,
                                                         std::string_view glob, std::size_t most);
/// Whether the module is there, if only since it began to load.
[[nodiscard]] bool is_loaded(const linux::Kernel& kernel, const vmipl::ModulePattern& of_module);

/// Where the symbol `name` is, of the kernel or a module; "MODULE:NAME" is that module's.
/// @returns not_found  it has none, or not yet (a module's)
/// @returns invalid    several places have the name: which, and how to write the one that is meant
[[nodiscard]] Outcome<Gva> place_named(const linux::Kernel& kernel, std::string_view name);

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

[[nodiscard]] bool is_code(char symbol_type) noexcept;
[[nodiscard]] bool is_return_thunk(const linux::Kernel& kernel, Gva target);

}  // namespace vitrine::probe
