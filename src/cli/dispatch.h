// From the words of a command line to an exit status.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace vitrine::cli {

/// Runs one command line (without the program's own name). Prints everything, problems
/// included.
[[nodiscard]] Status dispatch(const std::vector<std::string>& words, Context& context);

}  // namespace vitrine::cli
