// The World of the program: machines of this host, images, their kernels.
#pragma once

#include <memory>

#include "cli/world.h"

namespace vitrine::cli {

[[nodiscard]] std::unique_ptr<World> real_world();

}  // namespace vitrine::cli
