// Symbols by name: the kernel's, then its modules'.
#pragma once

#include <string_view>

#include "base/problem.h"
#include "cli/world.h"

namespace vitrine::cli {

/// @returns not_found  the message names the nearest symbols
[[nodiscard]] Outcome<Gva> find_symbol(const Guest& guest, std::string_view name);

}  // namespace vitrine::cli
