// The view `user_stacks`: every frame of every program's stack, by frame pointers.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& user_stacks_view() noexcept;

}  // namespace vitrine::linux
