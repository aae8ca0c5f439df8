// The view `processes`: one row for each thread group, as ps and /proc/PID show it.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& processes_view() noexcept;

}  // namespace vitrine::linux
