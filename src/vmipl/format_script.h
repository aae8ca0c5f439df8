// vitrine fmt: one canonical form of a script.
#pragma once

#include <optional>
#include <string>

#include "vmipl/diagnostic.h"
#include "vmipl/source.h"

namespace vitrine::vmipl {

/// The script in canonical form: four spaces a level, one statement a line, a block of one
/// short statement on its line, comments kept where they stand, at most one empty line in a
/// row, no semicolons but where one is needed. Formatting twice changes nothing more; the
/// tokens (semicolons aside) and their order stay.
/// @returns nothing  the script does not parse: `diagnostics` say why.
[[nodiscard]] std::optional<std::string> format_script(const Source& source,
                                                       Diagnostics& diagnostics);

}  // namespace vitrine::vmipl
