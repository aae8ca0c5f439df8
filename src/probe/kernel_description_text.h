// A kernel, written down: what `vitrine check --kernel FILE` reads (vmipl/kernel_description.h).
#pragma once

#include <functional>
#include <string_view>

#include "linux/symbols.h"
#include "linux/type_catalogue.h"

namespace vitrine::probe {

/// What is written of a kernel: its symbols with those of its loaded modules, and vmlinux's types.
/// The views are the program's own and are not written.
struct DescribedKernel {
  std::string_view release;
  const linux::SymbolTable& symbols;
  const linux::SymbolTable& module_symbols;
  const linux::TypeCatalogue& types;
};

/// Hands the text over in pieces of whole lines; `write` says false to stop.
/// Members of anonymous structures stand as the structure's own; a structure without a name that
/// a member has as its type is called ~N here. Cost: about 0.2 s and 10 MiB for a stock kernel.
void describe_kernel(const DescribedKernel& kernel,
                     const std::function<bool(std::string_view)>& write);

}  // namespace vitrine::probe
