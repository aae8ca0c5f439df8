// Quantities: durations and numbers among the words of a command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/problem.h"

namespace vitrine::cli {

/// "10s", "500ms", "2m", "1h", "1d"; a bare number is seconds. Greater than zero.
/// @returns invalid  "--duration: "x" is no duration"
[[nodiscard]] Outcome<std::chrono::nanoseconds> parse_duration(std::string_view option,
                                                               const std::string& text);

/// A whole number from 0 to `most`.
/// @returns invalid  "--rate-limit: "x" is no number from 0 to ..."
[[nodiscard]] Outcome<std::uint64_t> parse_number(std::string_view option, const std::string& text,
                                                  std::uint64_t most);

}  // namespace vitrine::cli
