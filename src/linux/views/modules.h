// The view `modules`: one row for each module in the kernel's list.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& modules_view() noexcept;

}  // namespace vitrine::linux
