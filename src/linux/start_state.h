// Whether a kernel is still starting: before its first program its text is still being made.
#pragma once

namespace vitrine::linux {

class Kernel;

/// True until the kernel runs its first program: its state says so, and its first process has no
/// memory of its own yet. Whoever forges the state of a kernel that runs does not make it start.
/// False where this cannot be told.
/// Source: enum system_states in include/linux/kernel.h; kernel_init() in init/main.c.
/// Cost: three small reads.
[[nodiscard]] bool is_starting(const Kernel& kernel);

}  // namespace vitrine::linux
