// The program's version, for --version and the man page.
#pragma once

#include <string_view>

namespace vitrine::cli {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace vitrine::cli
