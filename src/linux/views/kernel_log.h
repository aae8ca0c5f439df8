// The view `kernel_log`: one row for each record of the printk ring buffer.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& kernel_log_view() noexcept;

}  // namespace vitrine::linux
