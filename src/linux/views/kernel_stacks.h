// The view `kernel_stacks`: every frame of every thread's stack in the kernel.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& kernel_stacks_view() noexcept;

}  // namespace vitrine::linux
