// What stands in a kernel's image though its kallsyms does not list it.
//
// Without CONFIG_KALLSYMS_ALL kallsyms has functions only. Some data is known by what it holds:
// the banner by its words, the table of system calls by its handlers, the BTF by its header.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "linux/find_kernel.h"

namespace vitrine::linux {

/// nm has no such letter: the type of a symbol that was found, not listed. The view `symbols`,
/// which is what the guest's own /proc/kallsyms says, leaves it out.
inline constexpr char kUnlisted = '+';

/// Adds those of linux_banner, sys_call_table, __start_BTF, __stop_BTF and init_top_pgt that
/// `symbols` lacks and the image has. @returns their names.
/// Cost: at most one pass over 96 MiB from the text on, and only if something is missing.
std::vector<std::string> add_unlisted_symbols(const PhysicalMemory& ram, const KernelPlace& place,
                                              SymbolTable::Builder& symbols);

}  // namespace vitrine::linux
