// The view `interrupts`: one row for each vector of each interrupt descriptor table in use.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& interrupts_view() noexcept;

}  // namespace vitrine::linux
