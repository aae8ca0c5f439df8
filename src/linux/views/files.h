// The view `files`: one row for each open descriptor, as lsof and /proc/PID/fd show it.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& files_view() noexcept;

}  // namespace vitrine::linux
