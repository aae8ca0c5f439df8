// The view `system_call_entries`: where each CPU enters the kernel for system calls.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& system_call_entries_view() noexcept;

}  // namespace vitrine::linux
