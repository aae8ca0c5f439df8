#include "probe/agent/function_exits.h"

#include <algorithm>

#include "probe/agent/code_walk.h"

namespace vitrine::probe {

Result<FunctionExits> find_function_exits(
    const VirtualMemory& memory, std::uint64_t start, std::uint64_t size,
    const std::function<bool(std::uint64_t)>& is_return_thunk) {
  FunctionExits exits;
  const auto seen =
      for_each_instruction(memory, start, size, [&](std::uint64_t address, const Decoded& decoded) {
        const auto& instruction = decoded.instruction;
        if (instruction.mnemonic == ZYDIS_MNEMONIC_RET) {
          exits.returns.push_back(address);
          return;
        }
        const bool conditional = instruction.meta.category == ZYDIS_CATEGORY_COND_BR;
        if (instruction.meta.category != ZYDIS_CATEGORY_UNCOND_BR && !conditional) return;
        const auto target = jump_target(address, decoded);
        if (!target) {
          // A table of a switch stays within; one that leaves cannot be told from it.
          exits.indirect = exits.indirect || !conditional;
          return;
        }
        if (*target >= start && *target < start + size) return;
        if (is_return_thunk(*target)) {
          if (!conditional) exits.returns.push_back(address);
          return;
        }
        exits.tail_calls.push_back(*target);
      });
  if (!seen) return std::unexpected(seen.error());
  std::sort(exits.tail_calls.begin(), exits.tail_calls.end());
  exits.tail_calls.erase(std::unique(exits.tail_calls.begin(), exits.tail_calls.end()),
                         exits.tail_calls.end());
  return exits;
}

}  // namespace vitrine::probe
