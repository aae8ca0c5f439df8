// The self-test of an attach: does what was found hang together?
#pragma once

#include "linux/kernel.h"

namespace vitrine::linux {

/// Follows what every kernel must have from one end to the other and records each step
/// in `health.checks`: init_task and its name, the circle of the task list, the task that
/// each CPU says it runs, physical memory as the kernel counts it. What a kernel without BTF, or
/// without variables in its kallsyms, does not tell is not known; a variable that another kernel
/// lacks is a failure.
/// Cost: a few reads for each task.
void run_self_test(const Kernel& kernel, Health& health);

}  // namespace vitrine::linux
