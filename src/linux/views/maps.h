// The view `maps`: one row for each memory area, line by line as /proc/PID/maps shows them.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& maps_view() noexcept;

}  // namespace vitrine::linux
