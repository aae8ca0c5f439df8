#include "linux/views/symbols_lookup.h"

#include <fmt/core.h>

#include <algorithm>

namespace vitrine::linux {

SymbolLookup::SymbolLookup(const Kernel& kernel) : kernel_(kernel) {
  const auto find = [&](std::string_view name) {
    return kernel.symbols().find(name).value_or(Gva{});
  };
  text_start_ = find("_stext");
  text_end_ = find("_etext");
  image_start_ = find("_text");
  // Without variables in kallsyms there is no _end, and names of code are all that there are.
  image_end_ = std::max({find("_end"), find("_einittext"), text_end_});
}

std::vector<Symbol> SymbolLookup::at(Gva address) const {
  const SymbolTable& symbols = kernel_.symbols();
  std::vector<Symbol> found;
  for (auto i = symbols.lower_bound(address);
       i < symbols.size() && symbols.at(i).address == address; ++i) {
    found.push_back(symbols.at(i));
  }
  return found;
}

std::optional<std::uint64_t> SymbolLookup::room(std::string_view name) const {
  const SymbolTable& symbols = kernel_.symbols();
  const auto start = symbols.find(name);
  if (!start) return std::nullopt;
  const auto next = symbols.lower_bound(*start + 1);
  if (next == symbols.size()) return std::nullopt;
  return symbols.at(next).address - *start;
}

CodePlace SymbolLookup::place(Gva address) {
  CodePlace place;
  place.in_text = address >= text_start_ && address < text_end_;
  const auto name_in = [&](const SymbolTable& symbols) {
    if (const auto symbol = symbols.nearest(address)) {
      place.symbol = symbol->name;
      if (symbol->address != address)
        place.symbol += fmt::format("+{:#x}", address - symbol->address);
    }
  };
  if (address >= image_start_ && address < image_end_) {
    name_in(kernel_.symbols());
    return place;
  }
  if (!modules_) {
    auto list = read_modules(kernel_);
    modules_ = list ? std::move(list->modules) : std::vector<Module>();
  }
  for (const auto& module : *modules_) {
    if (!module.contains(address)) continue;
    place.module = module.name;
    name_in(kernel_.module_symbols());
    break;
  }
  return place;
}

}  // namespace vitrine::linux
