// The view `cpus`: one row for each possible CPU.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& cpus_view() noexcept;

}  // namespace vitrine::linux
