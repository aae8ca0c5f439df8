// The view `standard_streams`: what each process reads from and writes to.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& standard_streams_view() noexcept;

}  // namespace vitrine::linux
