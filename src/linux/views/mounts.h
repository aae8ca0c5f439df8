// The view `mounts`: one row for each mount of every mount namespace.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& mounts_view() noexcept;

}  // namespace vitrine::linux
