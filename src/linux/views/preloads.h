// The view `preloads`: code that the dynamic loader is told to put before every library.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& preloads_view() noexcept;

}  // namespace vitrine::linux
