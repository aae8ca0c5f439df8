// kstack and ustack of a firing: the stack of its CPU while that waits for the host.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "linux/kernel.h"
#include "probe/firing.h"
#include "probe/user_frames.h"

namespace vitrine::probe {

/// Writes a stack as a stack's text (probe/value.h: addresses, the innermost first): the kernel's
/// by its ORC tables, the program's by frame pointers. Nothing for a firing at no CPU, a kernel
/// thread's `ustack`, or a kernel whose stacks cannot be walked. What does not fit is cut.
///
/// What a program's functions are called is left in `names`.
///
/// `kernel` must outlive it. Threads: one call at a time waits for another.
[[nodiscard]] std::function<std::optional<std::size_t>(bool user, const HeldFiring& firing,
                                                       std::span<char> into)>
host_stack(const linux::Kernel& kernel, std::shared_ptr<UserFrames> names);

}  // namespace vitrine::probe
