// vitrine repl, the language line by line.
#pragma once

#include "cli/command.h"

namespace vitrine::cli {

[[nodiscard]] Command repl_command();

}  // namespace vitrine::cli
