#include "probe/code_places.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "probe/agent/function_exits.h"
#include "probe/named_places.h"

namespace vitrine::probe {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kMostFollowed = 64;

/// Where the cold part of a function begins that `place` lies in. It jumps back into its function.
std::optional<Gva> cold_part(const linux::Kernel& kernel, Gva place) {
  auto near = kernel.symbols().nearest(place);
  if (const auto in_module = kernel.module_symbols().nearest(place);
      in_module && (!near || near->address < in_module->address))
    near = in_module;
  if (!near || near->name.find(".cold") == std::string_view::npos) return std::nullopt;
  return near->address;
}

}  // namespace

bool is_return_thunk(const linux::Kernel& kernel, Gva target) {
  const auto near = kernel.symbols().nearest(target, 1);
  return near && near->name.ends_with("return_thunk");
}

std::uint64_t reach_of(const linux::Kernel& kernel, Gva function) {
  auto end = function.value + kFunctionReach;
  for (const auto* table : {&kernel.symbols(), &kernel.module_symbols()}) {
    if (const auto i = table->lower_bound(function + 1); i < table->size())
      end = std::min(end, table->at(i).address.value);
  }
  // Behind a module's last function no symbol may come, but data, or memory that is not there.
  for (auto page = (function.value | (kPage - 1)) + 1; page < end; page += kPage) {
    const auto there = kernel.memory().translate(Gva{page});
    if (!there || !there->executable) end = page;
  }
  return end - function.value;
}

Result<FunctionWays> ways_out(const linux::Kernel& kernel, Gva function) {
  const auto thunk = [&](std::uint64_t target) { return is_return_thunk(kernel, Gva{target}); };
  FunctionWays ways;
  std::set<Gva> seen{function};
  std::vector<std::pair<Gva, bool>> todo{{function, false}};
  while (!todo.empty()) {
    const auto [at, foreign] = todo.back();
    todo.pop_back();
    const auto exits =
        TRY(find_function_exits(kernel.memory(), at.value, reach_of(kernel, at), thunk));
    ways.indirect = ways.indirect || exits.indirect;
    for (const auto address : exits.returns) ways.returns.push_back({Gva{address}, foreign});
    for (const auto target : exits.tail_calls) {
      const auto cold = cold_part(kernel, Gva{target});
      const auto begin = cold.value_or(Gva{target});
      if (!seen.insert(begin).second) continue;
      if (seen.size() > kMostFollowed)
        return fail(Errc::too_large, function.value, "functions that it ends in");
      ways.foreign = ways.foreign || !cold;
      // What a cold part leaves by is its function's.
      todo.emplace_back(begin, foreign || !cold);
    }
  }
  return ways;
}

bool never_returns(const linux::Kernel& kernel, Gva function) {
  const auto ways = ways_out(kernel, function);
  return ways && ways->returns.empty() && !ways->indirect;
}

}  // namespace vitrine::probe
