// The view `credentials`: who each process is, and how it came by it.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& credentials_view() noexcept;

}  // namespace vitrine::linux
