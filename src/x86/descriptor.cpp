#include "x86/descriptor.h"

#include <array>

namespace vitrine::x86 {

Result<Gate> decode_gate(Bytes bytes) noexcept {
  const auto low = load<std::uint64_t>(bytes, 0);
  const auto high = load<std::uint64_t>(bytes, 8);
  if (!low || !high) return fail(Errc::out_of_bounds, 0, "IDT gate");
  Gate gate;
  gate.handler = Gva{(*low & 0xffff) | (*low >> 48 & 0xffff) << 16 | (*high & 0xffff'ffff) << 32};
  gate.selector = static_cast<std::uint16_t>(*low >> 16);
  gate.ist = static_cast<std::uint8_t>(*low >> 32 & 7);
  gate.type = static_cast<std::uint8_t>(*low >> 40 & 0xf);
  gate.dpl = static_cast<std::uint8_t>(*low >> 45 & 3);
  gate.present = (*low >> 47 & 1) != 0;
  // Bits 3 to 7 of the IST byte are ignored; bit 4 of the type (S) must be 0, and so
  // must the type field of the last word (bits 8 to 12).
  gate.reserved_bits = (*low >> 44 & 1) != 0 || (*high >> 40 & 0x1f) != 0;
  return gate;
}

std::string_view gate_type_name(std::uint8_t type) noexcept {
  if (type == 0xe) return "interrupt";
  if (type == 0xf) return "trap";
  return "";
}

std::string_view exception_name(unsigned vector) noexcept {
  // Intel SDM vol. 3A, table "Protected-Mode Exceptions and Interrupts"; #VC and #SX: AMD APM
  // vol. 2.
  static constexpr std::array<std::string_view, 32> kNames = {
      "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "",    "#TS",
      "#NP", "#SS", "#GP", "#PF", "",    "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
      "",    "",    "",    "",    "",    "",    "#HV", "#VC", "#SX", ""};
  return vector < kNames.size() ? kNames[vector] : std::string_view{};
}

}  // namespace vitrine::x86
