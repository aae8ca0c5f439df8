// Functions and data of the kernel and its modules, as a script names them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/kernel.h"
#include "vmipl/module_pattern.h"
#include "vmipl/program.h"

namespace vitrine::probe {

struct NamedFunction {
  Gva address;
  std::string name;
};
/// The functions of the kernel and its modules that a pattern fits, by address, at most `most` and
/// one more. "MODULE:PATTERN" means that module's alone.
[[nodiscard]] std::vector<NamedFunction> functions_named(const linux::Kernel& kernel,
                                                         std::string_view glob, std::size_t most);
/// The module that a probe names ("MODULE:..."), and follows through its unloading and loading.
[[nodiscard]] std::optional<vmipl::ModulePattern> followed_module(const vmipl::ProgramProbe& probe);
/// Whether the module is there, if only since it began to load.
[[nodiscard]] bool is_loaded(const linux::Kernel& kernel, const vmipl::ModulePattern& of_module);

/// What a probe takes where it names a place: ExecuteAt and Return also quoted patterns.
enum class Takes : bool { one_place, patterns };

/// Where the symbol `name` is, of the kernel or a module; "MODULE:NAME" is that module's.
/// @returns not_found  it has none, or not yet (a module's)
/// @returns invalid    several places have the name: which, and how to write the one that is meant
[[nodiscard]] Outcome<Gva> place_named(const linux::Kernel& kernel, std::string_view name,
                                       Takes takes);

[[nodiscard]] bool is_code(char symbol_type) noexcept;

/// No function is taken to be longer.
inline constexpr std::uint64_t kFunctionReach = 256 * 1024;

}  // namespace vitrine::probe
