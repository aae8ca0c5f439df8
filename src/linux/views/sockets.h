// The view `sockets`: one row for each socket of all network namespaces.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& sockets_view() noexcept;

}  // namespace vitrine::linux
