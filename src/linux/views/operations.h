// The view `operations`: function pointers of operation tables that lead where none should.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& operations_view() noexcept;

}  // namespace vitrine::linux
