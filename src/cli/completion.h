// Completions: the scripts that shells load, and the candidates they ask for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace vitrine::cli {

/// The script for "bash", "zsh" or "fish"; empty for another shell.
[[nodiscard]] std::string_view completion_script(std::string_view shell);

/// What may stand in the place of the last of these words (the words after "vitrine";
/// the last may be empty). Machines are asked for only where one may stand; never fails.
/// ":files" stands for: any file.
[[nodiscard]] std::vector<std::string> candidates(const std::vector<std::string>& words,
                                                  const World& world);

}  // namespace vitrine::cli
