// The instructions of a stretch of the guest's kernel code, one after the other.
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "memory/virtual_memory.h"

namespace vitrine::probe {

inline constexpr std::uint64_t kMaxFunction = 256 * 1024;

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
    const auto status = ZydisDecoderDecodeFull(&decoder, code.data() + at, size - at,
                                               &decoded.instruction, decoded.operands.data());
    // Up to the next symbol there may be padding, which ends in the midst of an instruction.
    if (status == ZYDIS_STATUS_NO_MORE_DATA) break;
    if (!ZYAN_SUCCESS(status)) return fail(Errc::malformed, start + at, "instruction");
    see(start + at, decoded);
    at += decoded.instruction.length;
  }
  return {};
}

/// Of a jump that says where it goes.
inline std::optional<std::uint64_t> jump_target(std::uint64_t address, const Decoded& decoded) {
  const auto& operand = decoded.operands[0];
  ZyanU64 target = 0;
  if (operand.type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
      !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&decoded.instruction, &operand, address, &target)))
    return std::nullopt;
  return target;
}

}  // namespace vitrine::probe
