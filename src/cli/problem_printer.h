// How a Problem is told: what failed, and below it what to do.
#pragma once

#include "base/problem.h"
#include "cli/command.h"

namespace vitrine::cli {

/// "vitrine: no machine is called \"web9\"", then the hint's lines, two spaces in. Words
/// of the guest are escaped here.
void print(const Problem& problem, Console& console);

/// misused for the caller's own words (Errc::invalid), failed for everything else.
[[nodiscard]] Status status_of(const Problem& problem) noexcept;

}  // namespace vitrine::cli
