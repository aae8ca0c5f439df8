// The view `symbols`: one row for each line of /proc/kallsyms.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& symbols_view() noexcept;

}  // namespace vitrine::linux
