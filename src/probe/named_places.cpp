#include "probe/named_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>

#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

/// "vfs_read+0x40": by the function (of data: by the variable) before it whose name is its own,
/// which another boot moves with it.
std::optional<std::string> by_neighbour(const linux::Kernel& kernel, Gva place, bool code) {
  const auto& table = kernel.symbols();
  for (auto i = table.lower_bound(place); i-- > 0;) {
    const auto one = table.at(i);
    const auto distance = place.value - one.address.value;
    if (distance > kFunctionReach) return std::nullopt;
    const bool word = std::ranges::all_of(
        one.name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
    if (is_code(one.type) == code && word && table.all(one.name).size() == 1)
      return fmt::format("{}+{:#x}", one.name, distance);
  }
  return std::nullopt;
}

}  // namespace

bool is_code(char type) noexcept {
  return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

std::vector<NamedFunction> functions_named(const linux::Kernel& kernel, std::string_view glob,
                                           std::size_t most) {
  const auto of_module = vmipl::module_pattern(glob);
  const auto pattern = of_module ? of_module->pattern : glob;
  std::map<Gva, std::string> found;
  for (const auto* table : {&kernel.symbols(), &kernel.module_symbols()}) {
    if (of_module && table == &kernel.symbols()) continue;
    for (std::size_t i = 0; i < table->size() && found.size() <= most; ++i) {
      const auto one = table->at(i);
      if (!is_code(one.type) || (of_module && !of_module->is_of(one.module))) continue;
      // While a module loads it has names that are not its own: of no place yet.
      if (one.address.value != 0 && vmipl::glob_matches(pattern, one.name))
        found.try_emplace(one.address, one.name);
    }
  }
  std::vector<NamedFunction> list;
  for (auto& [address, name] : found) list.push_back({address, std::move(name)});
  return list;
}

bool is_loaded(const linux::Kernel& kernel, const vmipl::ModulePattern& of_module) {
  const auto& table = kernel.module_symbols();
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (of_module.is_of(table.at(i).module)) return true;
  }
  return false;
}

std::optional<vmipl::ModulePattern> followed_module(const vmipl::ProgramProbe& probe) {
  const auto name = vmipl::probes()[probe.probe].name;
  if (probe.arguments.empty() || probe.arguments[0].kind != vmipl::ProbeArgument::pattern ||
      (name != "Return" && !name.ends_with("At")))
    return std::nullopt;
  return vmipl::module_pattern(probe.arguments[0].text_value);
}

Outcome<Gva> place_named(const linux::Kernel& kernel, std::string_view name, Takes takes) {
  const auto of_module = vmipl::module_pattern(name);
  auto all = kernel.symbols().all(of_module ? of_module->pattern : name);
  if (all.empty() || of_module)
    all = kernel.module_symbols().all(of_module ? of_module->pattern : name);
  std::set<Gva> places;
  for (const auto& one : all) {
    if (!of_module || (of_module->is_of(one.module) && one.address.value != 0))
      places.insert(one.address);
  }
  if (places.empty() && of_module)
    return std::unexpected(
        Problem(Errc::not_found,
                fmt::format("{} has no symbol {}", of_module->module, of_module->pattern)));
  if (places.empty())
    return std::unexpected(Problem(Errc::not_found,
                                   fmt::format("this kernel has no symbol {}", name),
                                   "of a module that is loaded later: \"MODULE:SYMBOL\""));
  if (places.size() == 1) return *places.begin();
  std::string list, ways;
  for (const auto at : places) {
    list += fmt::format("{}{:#x}", list.empty() ? "" : ", ", at.value);
    if (const auto way = by_neighbour(kernel, at, is_code(all.front().type)))
      ways += fmt::format("{}{}", ways.empty() ? "" : ", ", *way);
  }
  std::string hint = "name the one that is meant by its address";
  if (takes == Takes::patterns) hint += fmt::format(", or \"{}\" in quotes for all", name);
  if (!ways.empty()) hint += fmt::format("\nin every boot of this kernel: {}", ways);
  return std::unexpected(
      Problem(Errc::invalid,
              fmt::format("{} is the name of {} places: {}", name, places.size(), list), hint));
}

}  // namespace vitrine::probe
