// The guest's types by name: casts, sizeof, offsetof.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

std::optional<GuestType> Compiler::guest_type(const TypeName& type) {
  const auto* types = options_.ports.types;
  if (types == nullptr) return std::nullopt;
  static constexpr std::string_view kTags[] = {"", "struct ", "union ", "enum "};
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kOurs{
      {{"u8", "unsigned char"},
       {"u16", "unsigned short"},
       {"u32", "unsigned int"},
       {"u64", "unsigned long"},
       {"s8", "signed char"},
       {"s16", "short"},
       {"s32", "int"},
       {"s64", "long"}}};
  const auto full = std::string(kTags[type.tag]) + type.name;
  if (const auto found = types->find(full)) return found;
  for (const auto& [ours, theirs] : kOurs) {
    if (type.name == ours) {
      if (const auto found = types->find(theirs)) return found;
    }
  }
  Diagnostic diagnostic{.code = Code::unknown_type,
                        .span = type.span,
                        .message = fmt::format("this kernel has no type {}", full)};
  Nearest nearest(type.name);
  nearest.offer(types->similar(type.name));
  if (nearest.found()) diagnostic.label = fmt::format("did you mean {}?", nearest.best());
  tell(std::move(diagnostic));
  broken_ = true;
  return std::nullopt;
}

Value Compiler::cast(const Expr& expr) {
  const auto& type = script_.types[expr.type];
  auto value = address_expression(expr.a);
  if (type.pointers > 0) {
    if (value.type.open() && value.type.is(TypeKind::error)) return value;
    if (!want_address(value, "a pointer's value")) return error(expr.span);
    Type pointer = type_of(TypeKind::pointer);
    if (type.pointers == 1 && type.name != "void") {
      const auto guest = guest_type(type);
      if (!guest && options_.ports.types != nullptr) return error(expr.span);
      if (guest) {
        pointer.has_guest = true;
        pointer.guest = *guest;
      } else {
        incomplete_ = true;
      }
    } else if (type.name != "void") {
      // A pointer to a pointer: the element is a word; what lies behind it is cast again.
      (void)guest_type(type);
      if (options_.ports.types != nullptr) {
        if (const auto word = options_.ports.types->find("unsigned long")) {
          pointer.has_guest = true;
          pointer.guest = *word;
        }
      }
    }
    value.type = pointer;
    value.span = expr.span;
    value.literal = false;
    return value;
  }
  struct Integer {
    std::string_view name;
    std::uint8_t bits;
    bool is_signed;
  };
  static constexpr auto kIntegers = std::to_array<Integer>({{"u8", 8, false},
                                                            {"u16", 16, false},
                                                            {"u32", 32, false},
                                                            {"u64", 64, false},
                                                            {"s8", 8, true},
                                                            {"s16", 16, true},
                                                            {"s32", 32, true},
                                                            {"s64", 64, true},
                                                            {"char", 8, true},
                                                            {"signed char", 8, true},
                                                            {"unsigned char", 8, false},
                                                            {"short", 16, true},
                                                            {"unsigned short", 16, false},
                                                            {"int", 32, true},
                                                            {"unsigned int", 32, false},
                                                            {"unsigned", 32, false},
                                                            {"long", 64, true},
                                                            {"unsigned long", 64, false},
                                                            {"long long", 64, true},
                                                            {"unsigned long long", 64, false}});
  std::uint8_t bits = 0;
  bool is_signed = false;
  for (const auto& integer : kIntegers) {
    if (type.tag == TypeName::plain && integer.name == type.name) {
      bits = integer.bits;
      is_signed = integer.is_signed;
    }
  }
  if (bits == 0 && (type.name == "bool" || type.name == "_Bool")) {
    return mistake({.code = Code::bad_cast,
                    .span = expr.span,
                    .message = "a truth value is made by a comparison",
                    .hint = "write x != 0"});
  }
  if (bits == 0) {
    if (type.tag == TypeName::structure || type.tag == TypeName::union_) {
      return mistake({.code = Code::bad_cast,
                      .span = expr.span,
                      .message = "nothing is cast to a structure, only to a pointer to one",
                      .hint = fmt::format("({} *)", source_.text(type.span))});
    }
    if (options_.ports.types == nullptr) return unknown(expr.span);
    const auto guest = guest_type(type);
    if (!guest) return error(expr.span);
    const auto shape = options_.ports.types->shape(*guest);
    if (shape.kind != GuestKind::integer && shape.kind != GuestKind::enumeration) {
      return mistake({.code = Code::bad_cast,
                      .span = expr.span,
                      .message = fmt::format("nothing is cast to {}", type.name)});
    }
    if (shape.size == 0 || shape.size > 8) {
      return mistake({.code = Code::bad_cast,
                      .span = expr.span,
                      .message = fmt::format("{} has {} bytes; a number has at most 8", type.name,
                                             shape.size)});
    }
    bits = static_cast<std::uint8_t>(shape.size * 8);
    is_signed = shape.is_signed;
  }
  if (value.type.open()) return value;
  if (!value.type.numeric()) {
    return mistake({.code = Code::bad_cast,
                    .span = expr.span,
                    .message = fmt::format("{} is not cast to a number", describe(value.type.kind)),
                    .hint = value.type.textual() ? "len(text) is its length" : ""});
  }
  Type to{.kind = TypeKind::integer, .bits = bits, .is_signed = is_signed};
  if (value.constant) {
    std::uint64_t number = value.number;
    if (bits < 64) {
      number &= (1ULL << bits) - 1;
      if (is_signed && (number >> (bits - 1)) != 0) number |= ~((1ULL << bits) - 1);
    }
    auto folded = number_constant(number, to, expr.span);
    folded.typed = true;
    return folded;
  }
  const auto from = number(value);
  if (bits == 64) return result(to, expr.span, from);
  const auto reg = new_number();
  emit(is_signed ? Opcode::extend_s : Opcode::extend_u, reg, from, bits);
  return result(to, expr.span, reg);
}

Value Compiler::size_of(const Expr& expr) {
  const Type type{.kind = TypeKind::integer, .is_signed = false};
  GuestType guest{};
  if (expr.a != ExprId::none) {
    const auto value = expression(expr.a);
    if (value.type.open()) return value;
    if (!value.is_place)
      return mistake({.code = Code::wrong_type,
                      .span = expr.span,
                      .message = "sizeof is of a type, or of a place in the guest"});
    if (value.bit_width != 0)
      return mistake({.code = Code::wrong_type,
                      .span = expr.span,
                      .message = "a bit field has no size in bytes"});
    guest = value.type.guest;
  } else {
    const auto& name = script_.types[expr.type];
    if (name.pointers > 0) return number_constant(8, type, expr.span);
    if (options_.ports.types == nullptr) return unknown(expr.span);
    const auto found = guest_type(name);
    if (!found) return error(expr.span);
    guest = *found;
  }
  const auto shape = options_.ports.types->shape(guest);
  program_.fixed = program_.fixed || shape.kind == GuestKind::structure;
  return number_constant(shape.size, type, expr.span);
}

Value Compiler::offset_of(const Expr& expr) {
  const Type type{.kind = TypeKind::integer, .is_signed = false};
  if (options_.ports.types == nullptr) return unknown(expr.span);
  auto at = guest_type(script_.types[expr.type]);
  if (!at) return error(expr.span);
  std::uint64_t bits = 0;
  std::string_view rest = expr.text;
  std::uint32_t from = expr.name_span.begin;
  while (!rest.empty()) {
    const auto dot = std::min(rest.find('.'), rest.size());
    const auto step = rest.substr(0, dot);
    const auto found = options_.ports.types->member(*at, step);
    if (!found) {
      const Span span{from, from + static_cast<std::uint32_t>(step.size())};
      Diagnostic diagnostic{.code = Code::unknown_member,
                            .span = span,
                            .message = fmt::format("{} has no member {}",
                                                   options_.ports.types->shape(*at).name, step)};
      Nearest nearest(step);
      for (const auto& candidate : options_.ports.types->member_names(*at))
        nearest.offer(candidate);
      suggest(diagnostic, nearest, span);
      return mistake(std::move(diagnostic));
    }
    if (found->bit_width != 0)
      return mistake(
          {.code = Code::wrong_type,
           .span = {from, from + static_cast<std::uint32_t>(step.size())},
           .message = fmt::format("{} is a bit field: it has no offset in bytes", step)});
    bits += found->offset_bits;
    at = found->type;
    from += static_cast<std::uint32_t>(dot) + 1;
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  program_.fixed = true;
  return number_constant(bits / 8, type, expr.span);
}

}  // namespace vitrine::vmipl
