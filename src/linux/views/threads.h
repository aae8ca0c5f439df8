// The view `threads`: one row for each task, as /proc/PID/task/TID shows it.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& threads_view() noexcept;

}  // namespace vitrine::linux
