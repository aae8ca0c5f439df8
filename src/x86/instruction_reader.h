// What decoders of instructions share: bytes one by one, prefixes, the operand in memory.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "x86/system_instruction.h"

namespace vitrine::x86 {

/// Reads an instruction byte by byte; past the end it reads zeros and says so.
struct InstructionReader {
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
  bool address_size = false;  ///< 0x67
  bool lock = false;
  bool repeat = false;  ///< 0xf2 or 0xf3
  std::uint8_t segment = MemoryOperand::kNone;
  std::uint8_t rex = 0;
  [[nodiscard]] std::uint8_t r() const { return (rex & 4) != 0 ? 8 : 0; }
  [[nodiscard]] std::uint8_t x() const { return (rex & 2) != 0 ? 8 : 0; }
  [[nodiscard]] std::uint8_t b() const { return (rex & 1) != 0 ? 8 : 0; }
};

/// Takes the prefixes off. @returns the opcode's first byte
inline std::uint8_t read_prefixes(InstructionReader& reader, Prefixes& prefixes,
                                  bool long_mode = true) {
  for (unsigned i = 0; i < 14; ++i) {
    const auto byte = reader.next();
    switch (byte) {
      case 0x66:
        prefixes.operand16 = true;
        break;
      case 0x67:
        prefixes.address_size = true;
        break;
      case 0x64:
        prefixes.segment = 4;
        break;
      case 0x65:
        prefixes.segment = 5;
        break;
      case 0xf0:
        prefixes.lock = true;
        break;
      case 0xf2:
      case 0xf3:
        prefixes.repeat = true;
        break;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
        break;
      default:
        if (!long_mode || (byte & 0xf0) != 0x40) return byte;
        prefixes.rex = byte;
        continue;
    }
    prefixes.rex = 0;  // REX counts only right before the opcode
  }
  reader.cut = true;
  return 0;
}

/// The operand in memory that `modrm` (whose mode is not 3) names. 64-bit or 32-bit addresses.
inline MemoryOperand read_memory(InstructionReader& reader, const Prefixes& prefixes,
                                 std::uint8_t modrm, bool long_mode = true) {
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
    operand.rip_relative = long_mode;
    operand.displacement = reader.signed_bytes(4);
    return operand;
  } else {
    operand.base = static_cast<std::uint8_t>(low | prefixes.b());
  }
  if (mode == 1) operand.displacement = reader.signed_bytes(1);
  if (mode == 2) operand.displacement = reader.signed_bytes(4);
  return operand;
}

}  // namespace vitrine::x86
