#include "x86/system_instruction.h"

namespace vitrine::x86 {
namespace {

/// Reads an instruction byte by byte; past the end it reads zeros and says so.
struct Reader {
  Bytes bytes;
  std::size_t at = 0;
  bool cut = false;

  std::uint8_t next() {
    if (at >= bytes.size()) {
      cut = true;
      return 0;
    }
    return static_cast<std::uint8_t>(bytes[at++]);
  }
  std::int32_t signed_bytes(unsigned count) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < count; ++i) value |= static_cast<std::uint32_t>(next()) << (8 * i);
    if (count == 1) return static_cast<std::int8_t>(value);
    return static_cast<std::int32_t>(value);
  }
};

struct Prefixes {
  bool operand16 = false;
  std::uint8_t segment = MemoryOperand::kNone;
  std::uint8_t rex = 0;
  [[nodiscard]] std::uint8_t r() const { return (rex & 4) != 0 ? 8 : 0; }
  [[nodiscard]] std::uint8_t x() const { return (rex & 2) != 0 ? 8 : 0; }
  [[nodiscard]] std::uint8_t b() const { return (rex & 1) != 0 ? 8 : 0; }
};

std::uint8_t read_prefixes(Reader& reader, Prefixes& prefixes) {
  for (unsigned i = 0; i < 14; ++i) {
    const auto byte = reader.next();
    switch (byte) {
      case 0x66:
        prefixes.operand16 = true;
        break;
      case 0x64:
        prefixes.segment = 4;
        break;
      case 0x65:
        prefixes.segment = 5;
        break;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
      case 0x67:
      case 0xf0:
      case 0xf2:
      case 0xf3:
        break;
      default:
        if ((byte & 0xf0) != 0x40) return byte;
        prefixes.rex = byte;
        return reader.next();  // REX stands right before the opcode
    }
  }
  reader.cut = true;
  return 0;
}

MemoryOperand read_memory(Reader& reader, const Prefixes& prefixes, std::uint8_t modrm) {
  MemoryOperand operand;
  operand.segment = prefixes.segment;
  const unsigned mode = modrm >> 6;
  const unsigned low = modrm & 7U;
  if (low == 4) {
    const auto sib = reader.next();
    const unsigned index = (sib >> 3 & 7U) | prefixes.x();
    if (index != 4) {
      operand.index = static_cast<std::uint8_t>(index);
      operand.scale = static_cast<std::uint8_t>(1U << (sib >> 6));
    }
    if ((sib & 7U) == 5 && mode == 0) {
      operand.displacement = reader.signed_bytes(4);
      return operand;
    }
    operand.base = static_cast<std::uint8_t>((sib & 7U) | prefixes.b());
  } else if (low == 5 && mode == 0) {
    operand.rip_relative = true;
    operand.displacement = reader.signed_bytes(4);
    return operand;
  } else {
    operand.base = static_cast<std::uint8_t>(low | prefixes.b());
  }
  if (mode == 1) operand.displacement = reader.signed_bytes(1);
  if (mode == 2) operand.displacement = reader.signed_bytes(4);
  return operand;
}

using Kind = SystemInstruction::Kind;

SystemInstruction two_bytes(Reader& reader, const Prefixes& prefixes) {
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
  Reader reader{bytes};
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
