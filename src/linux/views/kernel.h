// The view `kernel`: one row: which kernel runs, how, and since when.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& kernel_view() noexcept;

}  // namespace vitrine::linux
