// The view `anonymous_calls`: system calls that were made from memory that no file backs.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& anonymous_calls_view() noexcept;

}  // namespace vitrine::linux
