// The view `text_changes`: program text in memory that differs from its file.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& text_changes_view() noexcept;

}  // namespace vitrine::linux
