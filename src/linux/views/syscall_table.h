// The view `syscall_table`: one row for each entry of the system call tables.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& syscall_table_view() noexcept;

}  // namespace vitrine::linux
