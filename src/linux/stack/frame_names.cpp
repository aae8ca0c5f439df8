#include "linux/stack/frame_names.h"

#include <fmt/core.h>

#include "linux/kernel.h"

namespace vitrine::linux {

FrameName name_frame(const Kernel& kernel, Gva address, bool exact) {
  const Gva within = exact ? address : address - 1;
  auto symbol = kernel.symbols().nearest(within);
  const auto end = kernel.symbols().find("_end");
  if (!symbol || (end && within >= *end)) symbol = kernel.module_symbols().nearest(within);
  if (!symbol) return {};
  FrameName name{std::string(symbol->name), std::string(symbol->module)};
  if (address != symbol->address) name.symbol += fmt::format("+{:#x}", address - symbol->address);
  return name;
}

}  // namespace vitrine::linux
