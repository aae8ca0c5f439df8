#include "probe/agent/function_exits.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <optional>

namespace vitrine::probe {
namespace {

constexpr std::uint64_t kMaxFunction = 256 * 1024;

struct Decoded {
  ZydisDecodedInstruction instruction;
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
};

/// Calls `see(address, decoded)` for each instruction in order.
template <class See>
Result<void> for_each_instruction(const VirtualMemory& memory, std::uint64_t start,
                                  std::uint64_t size, See see) {
  if (size == 0 || size > kMaxFunction) return fail(Errc::too_large, start, "function");
  std::vector<std::byte> code(size);
  TRY(memory.read(Gva{start}, code));
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  for (std::uint64_t at = 0; at < size;) {
    Decoded decoded;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.data() + at, size - at,
                                             &decoded.instruction, decoded.operands.data())))
      return fail(Errc::malformed, start + at, "instruction");
    see(start + at, decoded);
    at += decoded.instruction.length;
  }
  return {};
}

std::optional<std::uint64_t> jump_target(std::uint64_t address, const Decoded& decoded) {
  const auto& operand = decoded.operands[0];
  ZyanU64 target = 0;
  if (operand.type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
      !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&decoded.instruction, &operand, address, &target)))
    return std::nullopt;
  return target;
}

}  // namespace

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

Result<std::vector<ResultStore>> find_result_stores(const VirtualMemory& memory,
                                                    std::uint64_t start, std::uint64_t size,
                                                    std::int64_t offset) {
  std::vector<ResultStore> stores;
  const auto seen =
      for_each_instruction(memory, start, size, [&](std::uint64_t address, const Decoded& decoded) {
        const auto& into = decoded.operands[0];
        const auto& from = decoded.operands[1];
        if (decoded.instruction.mnemonic != ZYDIS_MNEMONIC_MOV ||
            into.type != ZYDIS_OPERAND_TYPE_MEMORY || from.type != ZYDIS_OPERAND_TYPE_REGISTER ||
            from.reg.value != ZYDIS_REGISTER_RAX || into.mem.disp.value != offset ||
            into.mem.index != ZYDIS_REGISTER_NONE || into.mem.base < ZYDIS_REGISTER_RAX ||
            into.mem.base > ZYDIS_REGISTER_R15)
          return;
        stores.push_back({address, static_cast<std::uint8_t>(ZydisRegisterGetId(into.mem.base))});
      });
  if (!seen) return std::unexpected(seen.error());
  return stores;
}

}  // namespace vitrine::probe
