#include "x86/instruction.h"

#include <array>
#include <cstdint>

namespace vitrine::x86 {
namespace {

constexpr std::size_t kLongest = 15;

/// What follows an opcode.
enum Shape : std::uint8_t {
  kBare = 0,
  kModRm = 1,
  kImm8 = 2,
  kImmZ = 4,  ///< 4 bytes, 2 with the operand-size prefix
  kImm16 = 8,
  kImm32 = 16,
  kBad = 128,
};

constexpr std::uint8_t first_map(unsigned op) {
  if (op < 0x40) {
    constexpr std::uint8_t kArithmetic[] = {kModRm, kModRm, kModRm, kModRm,
                                            kImm8,  kImmZ,  kBad,   kBad};
    return kArithmetic[op & 7];
  }
  if (op < 0x60) return kBare;  // REX is taken before
  if (op < 0x70) {
    constexpr std::uint8_t kSixty[] = {kBad,  kBad,  kBad,  kModRm,         kBad,  kBad,
                                       kBad,  kBad,  kImmZ, kModRm | kImmZ, kImm8, kModRm | kImm8,
                                       kBare, kBare, kBare, kBare};
    return kSixty[op & 15];
  }
  if (op < 0x80) return kImm8;
  switch (op) {
    case 0x80:
    case 0x83:
    case 0xc0:
    case 0xc1:
    case 0xc6:
      return kModRm | kImm8;
    case 0x81:
    case 0xc7:
      return kModRm | kImmZ;
    case 0x82:
    case 0x9a:
    case 0xce:
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xea:
      return kBad;
    case 0xa8:
    case 0xcd:
    case 0xeb:
      return kImm8;
    case 0xa9:
      return kImmZ;
    case 0xc2:
    case 0xca:
      return kImm16;
    case 0xc8:
      return kImm16 | kImm8;
    case 0xe8:
    case 0xe9:
      return kImm32;
    default:
      break;
  }
  if (op < 0x90 || (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) || op >= 0xfe)
    return kModRm;
  if (op == 0xf6 || op == 0xf7) return kModRm;  // and an immediate, by its reg field
  if (op >= 0xb0 && op <= 0xb7) return kImm8;
  if (op >= 0xe0 && op <= 0xe7) return kImm8;
  return kBare;
}

constexpr std::uint8_t second_map(unsigned op) {
  switch (op) {
    case 0x04:
    case 0x0a:
    case 0x0c:
    case 0x24:
    case 0x25:
    case 0x26:
    case 0x27:
    case 0x36:
    case 0x39:
    case 0x3b:
    case 0x3c:
    case 0x3d:
    case 0x3e:
    case 0x3f:
    case 0x7a:
    case 0x7b:
      return kBad;
    case 0x0f:
    case 0x70:
    case 0x71:
    case 0x72:
    case 0x73:
    case 0xa4:
    case 0xac:
    case 0xba:
    case 0xc2:
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return kModRm | kImm8;
    case 0x77:
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa8:
    case 0xa9:
    case 0xaa:
    case 0x37:
    case 0x0b:
    case 0x0e:
      return kBare;
    default:
      break;
  }
  if (op >= 0x05 && op <= 0x09) return kBare;
  if (op >= 0x30 && op <= 0x35) return kBare;
  if (op >= 0x80 && op <= 0x8f) return kImm32;
  if (op >= 0xc8 && op <= 0xcf) return kBare;
  return kModRm;
}

}  // namespace

std::optional<std::size_t> instruction_length(Bytes code) noexcept {
  std::size_t at = 0;
  const std::size_t room = code.size() < kLongest ? code.size() : kLongest;
  const auto peek = [&](std::size_t i) -> unsigned {
    return i < room ? std::to_integer<unsigned>(code[i]) : 0;
  };
  bool narrow = false, short_address = false, wide = false;
  for (; at < room; ++at) {
    const unsigned byte = peek(at);
    if (byte == 0x66)
      narrow = true;
    else if (byte == 0x67)
      short_address = true;
    else if (byte != 0xf0 && byte != 0xf2 && byte != 0xf3 && byte != 0x2e && byte != 0x36 &&
             byte != 0x3e && byte != 0x26 && byte != 0x64 && byte != 0x65)
      break;
  }
  if ((peek(at) & 0xf0) == 0x40) wide = (peek(at++) & 8) != 0;  // REX
  if (at >= room) return std::nullopt;

  const unsigned op = peek(at++);
  std::uint8_t shape = kBare;
  unsigned immediate = 0;
  bool registers_alone = false;
  unsigned map = 1;
  unsigned opcode = op;
  const auto vector = [&](unsigned of_map, std::size_t payload) {
    at += payload;
    opcode = peek(at++);
    map = of_map;
    shape = kModRm;
    if (map == 3 || (map == 1 && second_map(opcode) == (kModRm | kImm8) && opcode != 0xa4 &&
                     opcode != 0xac && opcode != 0xba && opcode != 0x0f))
      shape |= kImm8;
    if (map == 1 && opcode == 0x77) shape = kBare;
  };
  if (op == 0xc5) {
    vector(1, 1);
  } else if (op == 0xc4) {
    const unsigned of_map = peek(at) & 31;
    if (of_map < 1 || of_map > 3) return std::nullopt;
    vector(of_map, 2);
  } else if (op == 0x62) {
    const unsigned of_map = peek(at) & 7;
    if (of_map < 1 || of_map > 6 || of_map == 4) return std::nullopt;
    vector(of_map, 3);
  } else if (op == 0x0f) {
    opcode = peek(at++);
    if (opcode == 0x38) {
      ++at;
      shape = kModRm;
    } else if (opcode == 0x3a) {
      ++at;
      shape = kModRm | kImm8;
    } else {
      shape = second_map(opcode);
      registers_alone = opcode >= 0x20 && opcode <= 0x23;
    }
  } else {
    shape = first_map(op);
    if (op >= 0xb8 && op <= 0xbf) immediate = wide ? 8 : narrow ? 2 : 4;
    if (op >= 0xa0 && op <= 0xa3) immediate = short_address ? 4 : 8;
  }
  if ((shape & kBad) != 0) return std::nullopt;

  if ((shape & kModRm) != 0) {
    if (at >= room) return std::nullopt;
    const unsigned modrm = peek(at++);
    const unsigned mod = modrm >> 6, reg = modrm >> 3 & 7, rm = modrm & 7;
    if (mod != 3 && !registers_alone) {
      if (rm == 4) {
        const unsigned sib = peek(at++);
        if (mod == 0 && (sib & 7) == 5) immediate += 4;
      } else if (mod == 0 && rm == 5) {
        immediate += 4;
      }
      immediate += mod == 1 ? 1 : mod == 2 ? 4 : 0;
    }
    if (op == 0xf6 && reg < 2) immediate += 1;
    if (op == 0xf7 && reg < 2) immediate += narrow && !wide ? 2 : 4;
  }
  if ((shape & kImm8) != 0) immediate += 1;
  if ((shape & kImm16) != 0) immediate += 2;
  if ((shape & kImm32) != 0) immediate += 4;
  if ((shape & kImmZ) != 0) immediate += narrow && !wide ? 2 : 4;
  at += immediate;
  if (at > room) return std::nullopt;
  return at;
}

bool is_instruction_start(Bytes code, std::size_t offset) noexcept {
  std::size_t at = 0;
  while (at < offset && at < code.size()) {
    const auto length = instruction_length(code.subspan(at));
    if (!length) return false;
    at += *length;
  }
  return at == offset;
}

}  // namespace vitrine::x86
