// The view `code_changes`: code of the kernel that is not as the kernel says.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& code_changes_view() noexcept;

}  // namespace vitrine::linux
