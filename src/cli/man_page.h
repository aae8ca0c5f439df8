// The manual page, from the catalogue of commands.
#pragma once

#include <string>

namespace vitrine::cli {

/// docs/man/vitrine.1, as roff.
[[nodiscard]] std::string man_page();

}  // namespace vitrine::cli
