// The view `bpf_programs`: eBPF programs the kernel has loaded, and what they may do to others.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

[[nodiscard]] const View& bpf_programs_view() noexcept;

}  // namespace vitrine::linux
