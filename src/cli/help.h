// Help, out of the catalogue of commands.
#pragma once

#include <string>

#include "cli/command.h"

namespace vitrine::cli {

/// What `vitrine` alone says; it fits 80 columns and a small screen.
[[nodiscard]] std::string overview();
[[nodiscard]] std::string help_of(const Command& command);

/// `text` broken at spaces into lines of at most `width`, each after `indent`.
[[nodiscard]] std::string wrapped(std::string_view text, std::size_t width,
                                  std::string_view indent);

/// Escaped text broken into lines of at most `width` columns, from the second on after
/// `indent` blanks. Nothing is left out: a line is broken after a blank, or where it is full.
[[nodiscard]] std::string hanging(std::string_view text, unsigned width, unsigned indent);

}  // namespace vitrine::cli
