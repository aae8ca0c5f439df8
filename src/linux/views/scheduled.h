// The view `scheduled`: tasks, by every place that knows them.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& scheduled_view() noexcept;

}  // namespace vitrine::linux
