// Where an instruction writes, beside what Zydis says of the same bytes: each operand in memory
// that Zydis calls written is named, with its registers, displacement, width of addresses and at
// least its size. (More may be named than is written; what stands in `unknown()` may be missing.)
#include <Zydis/Zydis.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "x86/store_target.h"

using namespace vitrine;
using x86::MemoryOperand;
using x86::StoreTarget;

namespace {

[[noreturn]] void differs(const char* what, const ZydisDecodedInstruction& instruction,
                          Bytes code) {
  std::fprintf(stderr, "%s: %s:", what, ZydisMnemonicGetString(instruction.mnemonic));
  for (std::size_t i = 0; i < instruction.length; ++i)
    std::fprintf(stderr, " %02x", static_cast<unsigned>(code[i]));
  std::fputc('\n', stderr);
  std::abort();
}

/// What is called none, and said to be.
bool unknown(const ZydisDecodedInstruction& instruction) {
  switch (instruction.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
    case ZYDIS_INSTRUCTION_ENCODING_VEX:
      break;
    default:
      return true;  // EVEX, MVEX, XOP, 3DNow!
  }
  if (instruction.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 &&
      instruction.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (instruction.opcode & 0xfe) == 0xa2)
    return true;  // mov to an absolute address of 64 bits
  if (instruction.opcode_map == ZYDIS_OPCODE_MAP_0F && (instruction.opcode & 0xfe) == 0xa6)
    return true;  // VIA's PadLock
  return instruction.address_width == 16;
}

std::uint8_t number(ZydisRegister reg) {
  return reg == ZYDIS_REGISTER_NONE ? MemoryOperand::kNone
                                    : static_cast<std::uint8_t>(ZydisRegisterGetId(reg));
}

void compare(const ZydisDecodedInstruction& instruction, const ZydisDecodedOperand& operand,
             const StoreTarget& found, Bytes code, bool long_mode) {
  if (found.kind == StoreTarget::none) differs("not named", instruction, code);
  const auto& memory = operand.mem;
  const bool implicit = operand.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
  if (found.size * 8U < operand.size) differs("a smaller size", instruction, code);
  if (implicit && ZydisRegisterGetId(memory.base) == 4) {
    if (found.kind != StoreTarget::stack) differs("not the stack", instruction, code);
    return;
  }
  if (found.narrow != (instruction.address_width == 32))
    differs("another width of addresses", instruction, code);
  if (implicit && ZydisRegisterGetId(memory.base) == 7) {
    if (found.kind != StoreTarget::string) differs("not a string", instruction, code);
    return;
  }
  if (found.kind != StoreTarget::operand) differs("not an operand", instruction, code);
  // Without a base whatever REX.B says, as objdump has it; Zydis 4.0 takes r13.
  const auto& raw = instruction.raw;
  const bool no_base = raw.modrm.mod == 0 && raw.modrm.rm == 4 && raw.sib.base == 5;
  if (no_base) return;
  const bool relative = memory.base == ZYDIS_REGISTER_RIP || memory.base == ZYDIS_REGISTER_EIP;
  if (found.memory.rip_relative != relative) differs("rip", instruction, code);
  if (!relative && found.memory.base != number(memory.base)) differs("base", instruction, code);
  if (found.memory.index != number(memory.index)) differs("index", instruction, code);
  if (memory.index != ZYDIS_REGISTER_NONE && found.memory.scale != memory.scale)
    differs("scale", instruction, code);
  auto displacement = memory.disp.has_displacement ? memory.disp.value : 0;
  // pop moves the stack pointer before the address is made: what is named stands after that.
  if (instruction.mnemonic == ZYDIS_MNEMONIC_POP && number(memory.base) == 4)
    displacement += long_mode ? 8 : 4;
  if (found.memory.displacement != displacement) differs("displacement", instruction, code);
}

void check(const ZydisDecoder& decoder, Bytes code, bool long_mode) {
  const auto found = x86::decode_store_target(code, long_mode);
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  if (!ZYAN_SUCCESS(
          ZydisDecoderDecodeFull(&decoder, code.data(), code.size(), &instruction, operands)))
    return;
  // Bytes behind the instruction do not count, and it is whole without them.
  if (x86::decode_store_target(code.first(instruction.length), long_mode) != found)
    differs("bytes behind it count", instruction, code);
  if (unknown(instruction)) return;
  for (std::size_t i = 0; i < instruction.operand_count; ++i) {
    const auto& operand = operands[i];
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.mem.type == ZYDIS_MEMOP_TYPE_MEM &&
        (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0)
      compare(instruction, operand, found, code, long_mode);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ZydisDecoder wide, narrow;
  ZydisDecoderInit(&wide, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  ZydisDecoderInit(&narrow, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
  const Bytes all(reinterpret_cast<const std::byte*>(data), size);
  for (std::size_t at = 0; at < all.size(); ++at) {
    const auto code = all.subspan(at, std::min<std::size_t>(15, all.size() - at));
    check(wide, code, true);
    check(narrow, code, false);
  }
  return 0;
}
