// Giving up what root may do, for a program that must stay root's.
#pragma once

#include "base/problem.h"

namespace vitrine::fvm {

/// From here on this process has no capability and gains none: files and peers still take it for
/// its user.
/// @returns io
[[nodiscard]] Outcome<void> give_up_capabilities();

}  // namespace vitrine::fvm
