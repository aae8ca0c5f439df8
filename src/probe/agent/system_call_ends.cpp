#include "probe/agent/system_call_ends.h"

#include <algorithm>

#include "probe/agent/code_walk.h"

namespace vitrine::probe {
namespace {

/// The instructions of a function, and which comes after which.
struct Flow {
  static constexpr std::size_t kExit = SIZE_MAX;
  struct Step {
    std::uint64_t address = 0;
    std::optional<std::uint64_t> jumps_to;
    bool falls_through = true;
    bool leaves = false;
    bool calls = false;
  };
  std::vector<Step> steps;  ///< by address

  [[nodiscard]] std::size_t index(std::uint64_t address) const {
    const auto at = std::ranges::lower_bound(steps, address, {}, &Step::address);
    return at != steps.end() && at->address == address
               ? static_cast<std::size_t>(at - steps.begin())
               : kExit;
  }
  template <class Visit>
  void each_after(std::size_t i, Visit visit) const {
    const auto& step = steps[i];
    if (step.leaves) visit(kExit);
    if (step.jumps_to) visit(index(*step.jumps_to));
    if (step.falls_through) visit(i + 1 < steps.size() ? i + 1 : kExit);
  }
  /// What comes after `from`, nearest first; not past steps that `stops`. kExit is among it if an
  /// exit is.
  template <class Stops>
  [[nodiscard]] std::vector<std::size_t> after(std::size_t from, Stops stops) const {
    std::vector<bool> seen(steps.size());
    std::vector<std::size_t> order{from};
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto at = order[i];
      if (at == kExit || (i != 0 && stops(at))) continue;
      each_after(at, [&](std::size_t next) {
        if (next != kExit && seen[next]) return;
        if (next != kExit) seen[next] = true;
        order.push_back(next);
      });
    }
    order.erase(order.begin());
    return order;
  }
  /// Whatever comes after `from` comes by `place`.
  [[nodiscard]] bool leads_to(std::size_t from, std::size_t place) const {
    const auto others = after(from, [&](std::size_t at) { return at == place; });
    return std::ranges::find(others, kExit) == others.end();
  }
};

Flow::Step step_of(std::uint64_t address, const Decoded& decoded) {
  Flow::Step step{.address = address};
  const auto& instruction = decoded.instruction;
  const bool always = instruction.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
  if (always || instruction.meta.category == ZYDIS_CATEGORY_COND_BR) {
    step.jumps_to = jump_target(address, decoded);
    step.falls_through = !always;
    step.leaves = !step.jumps_to;
  } else if (instruction.mnemonic == ZYDIS_MNEMONIC_RET) {
    step.falls_through = false;
    step.leaves = true;
  }
  step.calls = instruction.meta.category == ZYDIS_CATEGORY_CALL;
  return step;
}

bool stores_result(const Decoded& decoded, std::int64_t offset, StoredResult kind) {
  const auto& into = decoded.operands[0];
  const auto& from = decoded.operands[1];
  const bool fits = kind == StoredResult::rax ? from.type == ZYDIS_OPERAND_TYPE_REGISTER &&
                                                    from.reg.value == ZYDIS_REGISTER_RAX
                                              : from.type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
  return decoded.instruction.mnemonic == ZYDIS_MNEMONIC_MOV && fits && into.size == 64 &&
         into.type == ZYDIS_OPERAND_TYPE_MEMORY && into.mem.disp.value == offset &&
         into.mem.index == ZYDIS_REGISTER_NONE && into.mem.base >= ZYDIS_REGISTER_RAX &&
         into.mem.base <= ZYDIS_REGISTER_R15;
}

bool writes(const Decoded& decoded, std::uint8_t reg) {
  if (decoded.instruction.mnemonic == ZYDIS_MNEMONIC_POP)
    return false;  // its caller's, on the way out
  for (std::size_t i = 0; i < decoded.instruction.operand_count; ++i) {
    const auto& operand = decoded.operands[i];
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER ||
        (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0)
      continue;
    const auto whole =
        ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, operand.reg.value);
    if (whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15 &&
        ZydisRegisterGetId(whole) == reg)
      return true;
  }
  return false;
}

}  // namespace

Result<std::vector<ResultPlace>> find_result_stores(const VirtualMemory& memory,
                                                    std::uint64_t start, std::uint64_t size,
                                                    std::int64_t offset, StoredResult kind) {
  std::vector<ResultPlace> stores;
  TRY(for_each_instruction(memory, start, size, [&](std::uint64_t address, const Decoded& decoded) {
    if (stores_result(decoded, offset, kind))
      stores.push_back(
          {address, static_cast<std::uint8_t>(ZydisRegisterGetId(decoded.operands[0].mem.base))});
  }));
  return stores;
}

Result<std::optional<ResultPlace>> find_result_join(const VirtualMemory& memory,
                                                    std::uint64_t start, std::uint64_t size,
                                                    std::int64_t offset, StoredResult kind) {
  const auto stores = TRY(find_result_stores(memory, start, size, offset, kind));
  if (stores.empty()) return std::nullopt;
  const auto reg = stores.front().reg;
  if (!std::ranges::all_of(stores, [&](const ResultPlace& one) { return one.reg == reg; }))
    return std::nullopt;
  Flow flow;
  std::size_t written = 0;
  TRY(for_each_instruction(memory, start, size, [&](std::uint64_t address, const Decoded& decoded) {
    flow.steps.push_back(step_of(address, decoded));
    if (writes(decoded, reg)) ++written;
  }));
  if (written != 1) return std::nullopt;  // where the function takes its argument
  // Not behind a call: that may be what looks at signals already.
  const auto candidates = flow.after(flow.index(stores.front().address),
                                     [&](std::size_t at) { return flow.steps[at].calls; });
  for (const bool from_the_start : {true, false}) {
    for (const auto candidate : candidates) {
      if (candidate == Flow::kExit) continue;
      const bool all = std::ranges::all_of(stores, [&](const ResultPlace& store) {
        const auto from = flow.index(store.address);
        return from != candidate && flow.leads_to(from, candidate);
      });
      if (all && (!from_the_start || flow.leads_to(0, candidate)))
        return ResultPlace{flow.steps[candidate].address, reg};
    }
  }
  return std::nullopt;
}

}  // namespace vitrine::probe
