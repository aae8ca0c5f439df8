// The Guest of the program: a linux::Kernel.
#pragma once

#include <memory>

#include "cli/world.h"

namespace vitrine::cli {

/// Errors as linux::Kernel::attach(). @param cache  use and fill the cache of recovered kernels
[[nodiscard]] Outcome<std::unique_ptr<Guest>> attach_guest(const Machine& machine, bool cache);

}  // namespace vitrine::cli
