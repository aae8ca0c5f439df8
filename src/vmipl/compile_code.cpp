// Writing code: registers, pools, places.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

Compiler::OpPlace Compiler::emit(Opcode op, std::uint8_t a, std::uint8_t b, std::uint8_t c,
                                 std::int32_t imm) {
  if (program_.code.size() >= kMaxCode) {
    if (!full_)
      tell({.code = Code::too_large,
            .span = {},
            .message = fmt::format("the program has more than {} instructions", kMaxCode),
            .hint = "functions are expanded where they are called: call large ones less often"});
    full_ = broken_ = true;
    return program_.code.size();
  }
  program_.code.push_back({op, a, b, c, imm});
  return program_.code.size() - 1;
}

std::uint8_t Compiler::new_number() {
  if (next_number_ >= kMaxNumbers) {
    if (!full_)
      tell({.code = Code::too_large,
            .span = {},
            .message = fmt::format("more than {} values are alive at once", kMaxNumbers),
            .hint = "split the probe"});
    full_ = broken_ = true;
    return 0;
  }
  most_numbers_ = std::max(most_numbers_, next_number_ + 1);
  return static_cast<std::uint8_t>(next_number_++);
}

std::uint8_t Compiler::new_text() {
  if (next_text_ >= kMaxTexts) {
    if (!full_)
      tell({.code = Code::too_large,
            .span = {},
            .message = fmt::format("more than {} texts are alive at once", kMaxTexts),
            .hint = "split the probe"});
    full_ = broken_ = true;
    return 0;
  }
  most_texts_ = std::max(most_texts_, next_text_ + 1);
  return static_cast<std::uint8_t>(next_text_++);
}

std::int32_t Compiler::pool(std::uint64_t number) {
  const auto [at, fresh] =
      number_pool_.try_emplace(number, static_cast<std::int32_t>(program_.numbers.size()));
  if (fresh) program_.numbers.push_back(number);
  return at->second;
}

std::int32_t Compiler::pool(const std::string& text) {
  const auto [at, fresh] =
      text_pool_.try_emplace(text, static_cast<std::int32_t>(program_.texts.size()));
  if (fresh) program_.texts.push_back(text);
  return at->second;
}

std::int32_t Compiler::relocated(Relocation relocation, std::uint64_t value, unsigned count,
                                 std::uint64_t second, std::uint64_t third) {
  for (const auto& other : program_.relocations) {
    if (other.kind == relocation.kind && other.name == relocation.name &&
        other.addend == relocation.addend && other.width == relocation.width &&
        other.is_signed == relocation.is_signed) {
      return static_cast<std::int32_t>(other.number);
    }
  }
  relocation.number = static_cast<std::uint32_t>(program_.numbers.size());
  program_.numbers.push_back(value);
  if (count > 1) {
    program_.numbers.push_back(second);
    program_.numbers.push_back(third);
  }
  program_.relocations.push_back(relocation);
  return static_cast<std::int32_t>(relocation.number);
}

std::int32_t Compiler::operand_list(const std::vector<Operand>& operands) {
  if (operands.empty()) return 0;
  // The same list serves again.
  const auto at = std::search(program_.operands.begin(), program_.operands.end(), operands.begin(),
                              operands.end());
  const auto start = static_cast<std::int32_t>(at - program_.operands.begin());
  if (at == program_.operands.end())
    program_.operands.insert(program_.operands.end(), operands.begin(), operands.end());
  return start;
}

std::uint8_t Compiler::number(Value& value) {
  if (value.in_register && !value.is_place) return value.reg;
  const auto reg = new_number();
  if (value.is_symbol) {
    std::uint64_t address = value.number;
    if (options_.ports.symbols != nullptr)
      address += options_.ports.symbols->find(value.text).value_or(0);
    emit(Opcode::number, reg, 0, 0,
         relocated({.kind = Relocation::symbol, .name = value.text, .addend = value.number},
                   address));
  } else if (value.constant) {
    emit(Opcode::number, reg, 0, 0, pool(value.number));
  }
  value.in_register = true;
  value.reg = reg;
  return reg;
}

std::uint8_t Compiler::text(Value& value) {
  if (value.in_register) return value.reg;
  const auto reg = new_text();
  if (value.constant) emit(Opcode::text, reg, 0, 0, pool(value.text));
  value.in_register = true;
  value.reg = reg;
  return reg;
}

Operand Compiler::in_operand(Value& value) {
  if (value.type.textual()) return {static_cast<std::uint16_t>(Operand::kText | text(value))};
  return {number(value)};
}

// The value that lies at a place: a scalar in a number register, characters in a text register.
Value Compiler::read_place(const Value& place) {
  const auto* types = options_.ports.types;
  if (types == nullptr) return unknown(place.span);
  const auto shape = types->shape(place.type.guest);
  const auto byte_offset = place.offset_bits / 8;
  const auto slot = [&](Relocation::Kind kind, std::uint64_t value, std::uint8_t width = 0,
                        bool sign = false) {
    if (place.path.empty()) return pool(value);
    return relocated({.kind = kind, .name = place.path, .width = width, .is_signed = sign}, value);
  };
  if (shape.kind == GuestKind::array) {
    const auto element = types->shape(shape.target);
    if (!element.is_character) {
      return mistake(
          {.code = Code::no_value,
           .span = place.span,
           .message = fmt::format("{} is an array: it has no value as a whole", quote(place.span)),
           .hint = "take an element with [i], or its address with &"});
    }
    const auto base = new_number();
    const auto offset = new_number();
    emit(Opcode::number, offset, 0, 0, slot(Relocation::member, byte_offset));
    emit(Opcode::add, base, place.reg, offset);
    const auto reg = new_text();
    const auto size = shape.size == 0 ? 256 : std::min<std::uint64_t>(shape.size, kMaxTextBytes);
    emit(Opcode::read_text, reg, base, 0,
         shape.size == 0 ? pool(size) : slot(Relocation::text_size, size));
    auto value = result(type_of(TypeKind::text), place.span, reg);
    value.longest = static_cast<std::uint16_t>(size);
    return value;
  }
  if (shape.kind == GuestKind::structure || shape.kind == GuestKind::none) {
    return mistake(
        {.code = Code::no_value,
         .span = place.span,
         .message = fmt::format("{} is a {}: it has no value as a whole", quote(place.span),
                                shape.name.empty() ? "structure" : shape.name),
         .hint = "take a member of it, or its address with &"});
  }
  Type type = guest_value_type(place.type.guest);
  const auto reg = new_number();
  if (place.bit_width != 0) {
    const std::uint64_t first_bit = place.offset_bits % 8;
    const std::uint64_t width = place.bit_width | (shape.is_signed ? 0x100U : 0U);
    std::int32_t at = 0;
    if (place.path.empty()) {
      at = static_cast<std::int32_t>(program_.numbers.size());
      program_.numbers.insert(program_.numbers.end(), {byte_offset, first_bit, width});
    } else {
      at = relocated({.kind = Relocation::bits, .name = place.path, .is_signed = shape.is_signed},
                     byte_offset, 3, first_bit, width);
    }
    if (type.is(TypeKind::integer)) type.bits = place.bit_width;
    emit(Opcode::read_bits, reg, place.reg, 0, at);
    return result(type, place.span, reg);
  }
  const auto size = static_cast<std::uint8_t>(shape.size);
  if (size != 1 && size != 2 && size != 4 && size != 8) {
    return mistake({.code = Code::no_value,
                    .span = place.span,
                    .message = fmt::format("{} has {} bytes: too many for a value",
                                           quote(place.span), shape.size)});
  }
  emit(Opcode::read, reg, place.reg, static_cast<std::uint8_t>(size | (shape.is_signed ? 0x80 : 0)),
       slot(Relocation::member, byte_offset, size, shape.is_signed));
  return result(type, place.span, reg);
}

Value Compiler::address_of_place(const Value& place) {
  if (place.bit_width != 0) {
    return mistake(
        {.code = Code::wrong_type, .span = place.span, .message = "a bit field has no address"});
  }
  Type type = type_of(TypeKind::pointer);
  type.has_guest = true;
  type.guest = place.type.guest;
  if (place.offset_bits == 0 && place.path.empty()) return result(type, place.span, place.reg);
  const auto offset = new_number();
  emit(Opcode::number, offset, 0, 0,
       place.path.empty()
           ? pool(place.offset_bits / 8)
           : relocated({.kind = Relocation::member, .name = place.path}, place.offset_bits / 8));
  const auto reg = new_number();
  emit(Opcode::add, reg, place.reg, offset);
  return result(type, place.span, reg);
}

}  // namespace vitrine::vmipl
