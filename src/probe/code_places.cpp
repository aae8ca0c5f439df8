#include "probe/code_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "probe/agent/function_exits.h"

namespace vitrine::probe {
namespace {

constexpr std::uint64_t kReach = 256 * 1024;
constexpr std::size_t kMostFollowed = 64;

std::size_t after(const linux::SymbolTable& table, Gva address) {
  std::size_t low = 0, high = table.size();
  while (low < high) {
    const auto middle = (low + high) / 2;
    if (table.at(middle).address <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/// "vfs_read+0x40": by the function before it whose name is its own, which another boot moves with
/// it.
std::optional<std::string> by_neighbour(const linux::Kernel& kernel, Gva place) {
  const auto& table = kernel.symbols();
  for (auto i = after(table, place); i-- > 0;) {
    const auto one = table.at(i);
    const auto distance = place.value - one.address.value;
    if (distance > kReach) return std::nullopt;
    const bool word = std::ranges::all_of(
        one.name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
    if (distance != 0 && is_code(one.type) && word && table.all(one.name).size() == 1)
      return fmt::format("{}+{:#x}", one.name, distance);
  }
  return std::nullopt;
}

}  // namespace

bool is_code(char type) noexcept {
  return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

bool is_return_thunk(const linux::Kernel& kernel, Gva target) {
  const auto near = kernel.symbols().nearest(target, 1);
  return near && near->name.ends_with("return_thunk");
}

Outcome<Gva> place_named(const linux::Kernel& kernel, std::string_view name) {
  auto all = kernel.symbols().all(name);
  if (all.empty()) all = kernel.module_symbols().all(name);
  std::set<Gva> places;
  for (const auto& one : all) places.insert(one.address);
  if (places.empty())
    return std::unexpected(
        Problem(Errc::not_found, fmt::format("this kernel has no symbol {}", name),
                "a module's is known while the module is loaded: load it, then start the script"));
  if (places.size() == 1) return *places.begin();
  std::string list, ways;
  for (const auto at : places) {
    list += fmt::format("{}{:#x}", list.empty() ? "" : ", ", at.value);
    if (const auto way = by_neighbour(kernel, at))
      ways += fmt::format("{}{}", ways.empty() ? "" : ", ", *way);
  }
  auto hint =
      fmt::format("name the one that is meant by its address, or \"{}\" in quotes for all", name);
  if (!ways.empty()) hint += fmt::format("\nin every boot of this kernel: {}", ways);
  return std::unexpected(
      Problem(Errc::invalid,
              fmt::format("{} is the name of {} places: {}", name, places.size(), list), hint));
}

std::uint64_t reach_of(const linux::Kernel& kernel, Gva function) {
  auto end = function.value + kReach;
  for (const auto* table : {&kernel.symbols(), &kernel.module_symbols()}) {
    if (const auto i = after(*table, function); i < table->size())
      end = std::min(end, table->at(i).address.value);
  }
  return end - function.value;
}

bool never_returns(const linux::Kernel& kernel, Gva function) {
  const auto thunk = [&](std::uint64_t target) { return is_return_thunk(kernel, Gva{target}); };
  std::set<Gva> seen{function};
  std::vector<Gva> todo{function};
  while (!todo.empty()) {
    const auto at = todo.back();
    todo.pop_back();
    const auto exits = find_function_exits(kernel.memory(), at.value, reach_of(kernel, at), thunk);
    if (!exits || !exits->returns.empty() || exits->indirect) return false;
    for (const auto target : exits->tail_calls) {
      const auto near = kernel.symbols().nearest(Gva{target});
      // A cold part jumps back into its function.
      const bool cold = near && near->name.find(".cold") != std::string_view::npos;
      const auto begin = cold ? near->address : Gva{target};
      if (!seen.insert(begin).second) continue;
      if (seen.size() > kMostFollowed) return false;
      todo.push_back(begin);
    }
  }
  return true;
}

}  // namespace vitrine::probe
