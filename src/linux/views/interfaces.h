// The view `interfaces`: one row for each network interface of every network namespace.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& interfaces_view() noexcept;

}  // namespace vitrine::linux
