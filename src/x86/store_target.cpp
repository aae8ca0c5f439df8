#include "x86/store_target.h"

#include "x86/instruction_reader.h"

namespace vitrine::x86 {
namespace {

constexpr std::uint16_t kOperand = 32;  // more than any but those that say so
constexpr std::uint16_t kSavedFpu = 112, kSavedState = 4096;

/// How an opcode with a ModRM byte uses its operand in memory: bytes that it may write; by the
/// byte's middle field where that tells.
struct ByField {
  std::uint8_t fields;  ///< a bit for each field that writes
  std::uint16_t size = kOperand;
};
constexpr ByField kNever{0, 0}, kAlways{0xff};

constexpr ByField x87(unsigned opcode) {
  switch (opcode) {
    case 0xd9:
      return {1 << 2 | 1 << 3 | 1 << 6 | 1 << 7};
    case 0xdb:
      return {1 << 1 | 1 << 2 | 1 << 3 | 1 << 7};
    case 0xdd:
      return {1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7, kSavedFpu};
    case 0xdf:
      return {1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7};
    default:
      return kNever;
  }
}

/// Of one-byte opcodes.
constexpr ByField first_map(unsigned opcode) {
  if (opcode < 0x40) return (opcode & 6) == 0 && (opcode & 0x38) != 0x38 ? kAlways : kNever;
  if (opcode >= 0xd8 && opcode <= 0xdf) return x87(opcode);
  switch (opcode) {
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83:
      return {0x7f};  // 7 compares
    case 0x86:
    case 0x87:
    case 0x88:
    case 0x89:
    case 0x8c:
    case 0xc0:
    case 0xc1:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return kAlways;
    case 0x8f:
    case 0xc6:
    case 0xc7:
      return {1 << 0};
    case 0xf6:
    case 0xf7:
      return {1 << 2 | 1 << 3};
    case 0xfe:
    case 0xff:
      return {1 << 0 | 1 << 1};
    default:
      return kNever;
  }
}

/// Of opcodes behind 0x0f.
constexpr ByField second_map(unsigned opcode) {
  if (opcode >= 0x90 && opcode <= 0x9f) return kAlways;
  switch (opcode) {
    case 0x00:
      return {1 << 0 | 1 << 1};
    case 0x01:
      return {1 << 0 | 1 << 1 | 1 << 4 | 1 << 5};
    case 0x11:
    case 0x13:
    case 0x17:
    case 0x1b:  // bndmov
    case 0x29:
    case 0x2b:
    case 0x78:  // vmread
    case 0x7e:
    case 0x7f:
    case 0xa4:
    case 0xa5:
    case 0xab:
    case 0xac:
    case 0xad:
    case 0xb0:
    case 0xb1:
    case 0xb3:
    case 0xbb:
    case 0xc0:
    case 0xc1:
    case 0xc3:
    case 0xd6:
    case 0xe7:
      return kAlways;
    case 0xae:
      return {1 << 0 | 1 << 3 | 1 << 4 | 1 << 6, kSavedState};
    case 0xba:
      return {1 << 5 | 1 << 6 | 1 << 7};
    case 0xc7:
      return {1 << 1 | 1 << 4 | 1 << 5 | 1 << 7, kSavedState};
    default:
      return kNever;
  }
}

constexpr ByField vector_map(unsigned map, unsigned opcode) {
  if (map == 1) {
    switch (opcode) {
      case 0x11:
      case 0x13:
      case 0x17:
      case 0x29:
      case 0x2b:
      case 0x7e:
      case 0x7f:
      case 0xd6:
      case 0xe7:
        return kAlways;
      case 0xae:
        return {1 << 3};
      default:
        return kNever;
    }
  }
  if (map == 2) return opcode == 0x2e || opcode == 0x2f || opcode == 0x8e ? kAlways : kNever;
  const bool extracts =
      (opcode >= 0x14 && opcode <= 0x17) || opcode == 0x19 || opcode == 0x1d || opcode == 0x39;
  return map == 3 && extracts ? kAlways : kNever;
}

class Decoder {
 public:
  Decoder(Bytes code, bool long_mode) : reader_{code}, long_mode_(long_mode) {}

  StoreTarget decode() {
    const auto opcode = read_prefixes(reader_, prefixes_, long_mode_);
    // 16-bit addresses are another arithmetic.
    if (!long_mode_ && prefixes_.address_size) return {};
    found_.narrow = !long_mode_ || prefixes_.address_size;
    found_.atomic = prefixes_.lock;
    if (opcode == 0x0f)
      second();
    else if (opcode == 0xc4 || opcode == 0xc5)
      vector(opcode);
    else
      first(opcode);
    return reader_.cut ? StoreTarget{} : found_;
  }

 private:
  void at_stack(std::uint16_t size) {
    found_.kind = StoreTarget::stack;
    found_.size = size;
    found_.narrow = !long_mode_;
  }
  void at_rdi(std::uint16_t size, bool repeated) {
    found_.kind = StoreTarget::string;
    found_.size = size;
    found_.repeated = repeated;
  }
  /// With a ModRM byte. @returns its middle field
  unsigned at_operand(ByField use) {
    const auto modrm = reader_.next();
    const unsigned field = modrm >> 3 & 7U;
    if (modrm >> 6 == 3 || (use.fields >> field & 1) == 0) return field;
    found_.kind = StoreTarget::operand;
    found_.memory = read_memory(reader_, prefixes_, modrm, long_mode_);
    found_.size = use.size;
    return field;
  }
  [[nodiscard]] std::uint16_t word() const {
    return (prefixes_.rex & 8) != 0 ? 8 : prefixes_.operand16 ? 2 : 4;
  }

  void first(unsigned opcode) {
    switch (opcode) {
      case 0x06:
      case 0x0e:
      case 0x16:
      case 0x1e:
        if (!long_mode_) at_stack(4);
        return;
      case 0x60:
        if (!long_mode_) at_stack(32);
        return;
      case 0x9a:
        if (!long_mode_) at_stack(8);
        return;
      case 0x68:
      case 0x6a:
      case 0x9c:
      case 0xe8:
        return at_stack(8);
      case 0xc8:  // enter: up to 32 frames
        return at_stack(33 * 8);
      case 0x6c:
      case 0xa4:
      case 0xaa:
        return at_rdi(1, prefixes_.repeat);
      case 0x6d:
      case 0xa5:
      case 0xab:
        return at_rdi(word(), prefixes_.repeat);
      case 0xa2:
      case 0xa3:
        // An address of 64 bits has no room in an operand.
        if (long_mode_) return;
        found_.kind = StoreTarget::operand;
        found_.memory.segment = prefixes_.segment;
        found_.memory.displacement = reader_.signed_bytes(4);
        found_.size = kOperand;
        return;
      default:
        break;
    }
    if (opcode >= 0x50 && opcode <= 0x57) return at_stack(8);
    if (opcode == 0x63 && !long_mode_) return void(at_operand(kAlways));  // arpl
    if (first_map(opcode).fields == 0) return;
    const unsigned field = at_operand(first_map(opcode));
    if (opcode == 0xff && (field == 2 || field == 3 || field == 6)) return at_stack(16);
    // The stack pointer moves before the address is made.
    if (opcode == 0x8f && found_.memory.base == 4) found_.memory.displacement += long_mode_ ? 8 : 4;
    if (opcode == 0x86 || opcode == 0x87) found_.atomic = found_.exchanges = true;
  }

  void second() {
    const auto opcode = reader_.next();
    if (opcode == 0xa0 || opcode == 0xa8) return at_stack(8);
    if (opcode == 0xf7) return at_rdi(16, false);
    if (opcode == 0x38 || opcode == 0x3a) {
      const auto third = reader_.next();
      const bool stores = opcode == 0x38 ? third == 0xf1 : third >= 0x14 && third <= 0x17;
      if (stores) (void)at_operand(kAlways);
      return;
    }
    if (second_map(opcode).fields == 0) return;
    const auto reg =
        reader_.at < reader_.bytes.size()
            ? static_cast<std::uint8_t>(
                  (static_cast<unsigned>(reader_.bytes[reader_.at]) >> 3 & 7U) | prefixes_.r())
            : std::uint8_t{0};
    const unsigned field = at_operand(second_map(opcode));
    found_.compares =
        found_.atomic && (opcode == 0xb0 || opcode == 0xb1 || (opcode == 0xc7 && field == 1));
    found_.exchanges = found_.compares;
    if (opcode == 0xc7 && field == 1) found_.size = 16;
    if (opcode == 0xab || opcode == 0xb3 || opcode == 0xbb) {
      found_.bits = static_cast<std::uint8_t>(word());
      found_.bit_index = reg;
    }
  }

  void vector(unsigned opcode) {
    // In 32-bit code the same bytes with an operand in memory are les and lds.
    const auto one = reader_.next();
    if (!long_mode_ && one >> 6 != 3) return;
    unsigned map = 1;
    if ((one & 0x80) == 0) prefixes_.rex |= 4;
    if (opcode == 0xc4) {
      if ((one & 0x40) == 0) prefixes_.rex |= 2;
      if ((one & 0x20) == 0 && long_mode_) prefixes_.rex |= 1;
      map = one & 31U;
      (void)reader_.next();
    }
    const auto what = reader_.next();
    if (map == 1 && what == 0xf7) return at_rdi(16, false);
    (void)at_operand(vector_map(map, what));
  }

  InstructionReader reader_;
  Prefixes prefixes_;
  bool long_mode_;
  StoreTarget found_;
};

}  // namespace

StoreTarget decode_store_target(Bytes code, bool long_mode) noexcept {
  const auto found = Decoder(code, long_mode).decode();
  return found.kind == StoreTarget::none ? StoreTarget{} : found;
}

}  // namespace vitrine::x86
