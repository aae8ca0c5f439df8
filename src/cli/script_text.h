// Where a script's text comes from: a file, standard input, or the command line itself.
#pragma once

#include <string>
#include <string_view>

#include "base/problem.h"
#include "vmipl/source.h"

namespace vitrine::cli {

/// The script at `path`; "-" is standard input. Any bytes: the language itself says what is wrong
/// with them.
/// @returns not_found  no such file
/// @returns invalid    a directory
/// @returns io         it could not be read; the message says why
/// @returns too_large  more than 64 MiB
[[nodiscard]] Outcome<vmipl::Source> read_script(std::string_view path);

/// A file's bytes, as above.
[[nodiscard]] Outcome<std::string> read_text(std::string_view path);

}  // namespace vitrine::cli
