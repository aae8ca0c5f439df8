// The view `kernel_code`: executable memory of the kernel, and whose it is.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& kernel_code_view() noexcept;

}  // namespace vitrine::linux
