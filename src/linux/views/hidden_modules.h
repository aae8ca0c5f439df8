// The view `hidden_modules`: modules that some place in the kernel knows and the list does not.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& hidden_modules_view() noexcept;

}  // namespace vitrine::linux
