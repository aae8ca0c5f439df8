// The kernel's own page tables where no symbol names them.
//
// Without CONFIG_KALLSYMS_ALL (microVMs, small distributions) kallsyms lists functions only:
// init_top_pgt is not there. But it is a page of the kernel's data, a page table's root looks
// like one, and what it maps says whose it is.
#pragma once

#include <functional>
#include <optional>

#include "linux/find_kernel.h"

namespace vitrine::linux {

/// Calls `confirm` with each page near `tables` (where kallsyms lies) that could be the root of a
/// kernel's page tables: something in the last entry, nothing in the user half. `confirm` answers
/// where these map the kernel, if they do; of several the one that maps most is taken: others are
/// left from early boot, or made for user mode (page table isolation).
/// Cost: a look at each page within 64 MiB of `tables`.
[[nodiscard]] std::optional<KernelPlace> find_unlisted_tables(
    const PhysicalMemory& ram, Gpa tables,
    const std::function<std::optional<KernelPlace>(Gpa table)>& confirm);

}  // namespace vitrine::linux
