#include "x86/system_instruction.h"

#include "x86/instruction_reader.h"

namespace vitrine::x86 {
namespace {

using Kind = SystemInstruction::Kind;

SystemInstruction two_bytes(InstructionReader& reader, const Prefixes& prefixes) {
  SystemInstruction found;
  switch (reader.next()) {
    case 0x30:
      found.kind = Kind::wrmsr;
      break;
    case 0x06:
      found.kind = Kind::clts;
      break;
    case 0x22: {
      const auto modrm = reader.next();
      found.kind = Kind::write_control;
      found.control = static_cast<std::uint8_t>((modrm >> 3 & 7U) | prefixes.r());
      found.reg = static_cast<std::uint8_t>((modrm & 7U) | prefixes.b());
      break;
    }
    case 0x01: {
      const auto modrm = reader.next();
      const bool memory = modrm >> 6 != 3;
      const unsigned what = modrm >> 3 & 7U;
      if ((what == 2 || what == 3) && memory) {
        found.kind = what == 2 ? Kind::lgdt : Kind::lidt;
        found.memory = read_memory(reader, prefixes, modrm);
      } else if (what == 6) {
        found.kind = Kind::lmsw;
        if (memory)
          found.memory = read_memory(reader, prefixes, modrm);
        else
          found.reg = static_cast<std::uint8_t>((modrm & 7U) | prefixes.b());
      }
      break;
    }
    default:
      break;
  }
  return found;
}

}  // namespace

SystemInstruction decode_system_instruction(Bytes bytes) noexcept {
  InstructionReader reader{bytes};
  Prefixes prefixes;
  const auto opcode = read_prefixes(reader, prefixes);
  const std::uint8_t word = prefixes.operand16 ? 2 : 4;
  SystemInstruction found;
  switch (opcode) {
    case 0x0f:
      found = two_bytes(reader, prefixes);
      break;
    case 0x6c:
    case 0x6d:
      found.kind = Kind::ins;
      found.size = opcode == 0x6c ? 1 : word;
      break;
    case 0x6e:
    case 0x6f:
      found.kind = Kind::outs;
      found.size = opcode == 0x6e ? 1 : word;
      break;
    case 0xe4:
    case 0xe5:
    case 0xe6:
    case 0xe7:
      found.kind = opcode <= 0xe5 ? Kind::in : Kind::out;
      found.size = (opcode & 1U) == 0 ? 1 : word;
      found.port = reader.next();
      break;
    case 0xec:
    case 0xed:
    case 0xee:
    case 0xef:
      found.kind = opcode <= 0xed ? Kind::in : Kind::out;
      found.size = (opcode & 1U) == 0 ? 1 : word;
      break;
    default:
      break;
  }
  return reader.cut ? SystemInstruction{} : found;
}

}  // namespace vitrine::x86
