// The view `hooks`: what the kernel calls because somebody asked it to.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& hooks_view() noexcept;

}  // namespace vitrine::linux
