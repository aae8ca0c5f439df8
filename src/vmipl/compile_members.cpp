// Members of groups, rows, structures and arrays: . -> [i].
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/compiler.h"
#include "vmipl/habits.h"

namespace vitrine::vmipl {

const std::vector<ViewColumn>* Compiler::columns_of(const std::string& view) {
  auto known = columns_.find(view);
  if (known == columns_.end()) {
    known = columns_
                .emplace(view, options_.ports.views != nullptr ? options_.ports.views->columns(view)
                                                               : std::nullopt)
                .first;
  }
  return known->second ? &*known->second : nullptr;
}

Value Compiler::field(const Expr& expr) {
  auto base = expression(expr.a);
  if (base.type.open())
    return base.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
  if (base.type.is(TypeKind::group)) {
    if (base.group == "event") return event_field(expr.text, expr.name_span, expr.span);
    if (base.group == "reg") {
      const auto found = find_register(expr.text);
      const bool lower = found && registers()[*found].name == expr.text;
      if (!found || !lower) {
        Nearest nearest(expr.text);
        if (found) nearest.offer(registers()[*found].name);
        for (const auto& candidate : registers()) nearest.offer(candidate.name);
        Diagnostic diagnostic{.code = Code::unknown_register,
                              .span = expr.name_span,
                              .message = fmt::format("there is no register reg.{}", expr.text)};
        if (found) {
          const auto name = std::string(registers()[*found].name);
          diagnostic.message = fmt::format("the register is called reg.{} here", name);
          diagnostic.fix = Fix{expr.name_span, name, fmt::format("write {}", name)};
        } else {
          suggest(diagnostic, nearest, expr.name_span);
        }
        return mistake(std::move(diagnostic));
      }
      const auto reg = new_number();
      emit(Opcode::reg, reg, 0, 0, *found);
      return result(Type{.kind = TypeKind::integer, .is_signed = false}, expr.span, reg);
    }
    if (base.group == "phys") {
      return mistake(
          {.code = Code::unknown_field,
           .span = expr.span,
           .message = "physical memory is read by phys.u8(address) ... phys.u64(address)"});
    }
    if (const auto* found = find_moment(base.group, expr.text)) return moment(*found, expr.span);
    Nearest nearest(expr.text);
    for (const auto& candidate : moments()) {
      if (candidate.group == base.group) nearest.offer(candidate.name);
    }
    Diagnostic diagnostic{.code = Code::unknown_field,
                          .span = expr.name_span,
                          .message = fmt::format("{} has no field {}", base.group, expr.text)};
    std::string_view meant;
    for (const auto ours : field_habit(expr.text)) {
      if (meant.empty() && find_moment(base.group, ours) != nullptr) meant = ours;
    }
    suggest(diagnostic, nearest, expr.name_span, meant);
    if (!diagnostic.fix) {
      std::vector<std::string_view> names;
      for (const auto& candidate : moments()) {
        if (candidate.group == base.group) names.push_back(candidate.name);
      }
      diagnostic.expected = fmt::format("{}", fmt::join(names, ", "));
    }
    return mistake(std::move(diagnostic));
  }
  if (base.type.is(TypeKind::row)) {
    auto& use = program_.views[base.use];
    const auto* columns = columns_of(use.view);
    if (columns == nullptr) return unknown(expr.span);
    Nearest nearest(expr.text);
    for (const auto& column : *columns) {
      if (column.name != expr.text) continue;
      const Type type = type_of(column.kind);
      const auto at = std::find(use.columns.begin(), use.columns.end(), expr.text);
      const auto number = static_cast<std::int32_t>(at - use.columns.begin());
      if (at == use.columns.end()) {
        use.columns.push_back(expr.text);
        use.types.push_back(value_type(type));
      }
      const auto reg = type.textual() ? new_text() : new_number();
      emit(type.textual() ? Opcode::column_text : Opcode::column, reg, base.slot, 0, number);
      return result(type, expr.span, reg);
    }
    Diagnostic diagnostic{
        .code = Code::unknown_column,
        .span = expr.name_span,
        .message = fmt::format("the view {} has no column {}", use.view, expr.text)};
    for (const auto& column : *columns) nearest.offer(column.name);
    std::string_view meant;
    for (const auto ours : field_habit(expr.text)) {
      const bool there = std::any_of(columns->begin(), columns->end(),
                                     [&](const ViewColumn& column) { return column.name == ours; });
      if (meant.empty() && there) meant = ours;
    }
    suggest(diagnostic, nearest, expr.name_span, meant);
    if (!diagnostic.fix) {
      std::vector<std::string_view> names;
      for (const auto& column : *columns) names.push_back(column.name);
      diagnostic.expected = fmt::format("{}", fmt::join(names, ", "));
    }
    return mistake(std::move(diagnostic));
  }
  if (base.is_place && base.type.is(TypeKind::structure)) return member(base, expr);
  if (base.is_place || base.type.is(TypeKind::pointer)) {
    const bool pointer = !base.is_place || base.type.is(TypeKind::pointer);
    if (pointer) {
      const Span dot{script_.at(expr.a).span.end, expr.name_span.begin};
      return mistake({.code = Code::not_a_structure,
                      .span = dot,
                      .message = fmt::format("{} is a pointer: its members are taken with ->",
                                             quote(script_.at(expr.a).span)),
                      .fix = Fix{dot, "->", "write ->"}});
    }
  }
  return mistake(
      {.code = Code::not_a_structure,
       .span = expr.name_span,
       .message = fmt::format("{} is {}: it has no member {}", quote(script_.at(expr.a).span),
                              describe(base.type.kind), expr.text)});
}

Value Compiler::arrow(const Expr& expr) {
  ++in_address_;
  auto base = expression(expr.a);
  --in_address_;
  if (base.type.open())
    return base.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
  if (base.is_place && base.type.is(TypeKind::structure)) {
    const Span sign{script_.at(expr.a).span.end, expr.name_span.begin};
    return mistake(
        {.code = Code::not_a_pointer,
         .span = sign,
         .message = fmt::format("{} is a structure, not a pointer: its members are taken with .",
                                quote(script_.at(expr.a).span)),
         .fix = Fix{sign, ".", "write ."}});
  }
  if (base.type.is(TypeKind::group) || base.type.is(TypeKind::row)) {
    const Span sign{script_.at(expr.a).span.end, expr.name_span.begin};
    return mistake({.code = Code::not_a_pointer,
                    .span = sign,
                    .message = "this is no pointer: its fields are taken with .",
                    .fix = Fix{sign, ".", "write ."}});
  }
  base = rvalue(std::move(base));
  if (base.type.open())
    return base.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
  if (!base.type.is(TypeKind::pointer)) {
    Diagnostic diagnostic{
        .code = Code::not_a_pointer,
        .span = script_.at(expr.a).span,
        .message = fmt::format("{} is {}: to follow it, say what it points to",
                               quote(script_.at(expr.a).span), describe(base.type.kind))};
    if (base.type.is(TypeKind::address) || base.type.is(TypeKind::integer))
      diagnostic.hint =
          fmt::format("((struct NAME *){})->{}", source_.text(script_.at(expr.a).span), expr.text);
    return mistake(std::move(diagnostic));
  }
  if (!base.type.has_guest) return untyped(base, expr.span);
  Value place = place_at(base, base.type.guest, expr.span);
  if (!place.type.is(TypeKind::structure)) {
    return mistake(
        {.code = Code::not_a_pointer,
         .span = script_.at(expr.a).span,
         .message = fmt::format("{} does not point to a structure", quote(script_.at(expr.a).span)),
         .hint = "take what it points to with * or [0]"});
  }
  return member(place, expr);
}

Value Compiler::untyped(const Value& pointer, Span span) {
  if (options_.ports.types == nullptr) return unknown(span);
  return mistake(
      {.code = Code::not_a_pointer,
       .span = pointer.span,
       .message = fmt::format("{} points to nothing that has a type", quote(pointer.span)),
       .hint = fmt::format("((struct NAME *){})->member", source_.text(pointer.span))});
}

Value Compiler::place_at(Value base, GuestType type, Span span) {
  Value place{.type = guest_value_type(type), .span = span};
  place.reg = number(base);
  place.in_register = true;
  place.is_place = true;
  place.type.guest = type;
  return place;
}

Type Compiler::guest_value_type(GuestType guest) {
  Type type;
  type.has_guest = true;
  type.guest = guest;
  const auto shape = options_.ports.types->shape(guest);
  type.is_signed = shape.is_signed;
  switch (shape.kind) {
    case GuestKind::boolean:
      type.kind = TypeKind::boolean;
      break;
    case GuestKind::integer:
    case GuestKind::enumeration:
      type.kind = TypeKind::integer;
      type.bits = static_cast<std::uint8_t>(std::min<std::uint64_t>(shape.size * 8, 64));
      break;
    case GuestKind::pointer:
      type.kind = TypeKind::pointer;
      type.has_guest = shape.has_target;
      type.guest = shape.target;
      break;
    case GuestKind::array:
      type.kind = TypeKind::array;
      break;
    case GuestKind::structure:
      type.kind = TypeKind::structure;
      break;
    case GuestKind::none:
      type.kind = TypeKind::structure;
      break;
  }
  return type;
}

Value Compiler::member(const Value& base, const Expr& expr) {
  const auto* types = options_.ports.types;
  const auto shape = types->shape(base.type.guest);
  const auto found = types->member(base.type.guest, expr.text);
  if (!found) {
    Diagnostic diagnostic{
        .code = Code::unknown_member,
        .span = expr.name_span,
        .message = fmt::format("{} has no member {}",
                               shape.name.empty() ? "this structure" : shape.name, expr.text)};
    Nearest nearest(expr.text);
    for (const auto& candidate : types->member_names(base.type.guest)) nearest.offer(candidate);
    suggest(diagnostic, nearest, expr.name_span);
    return mistake(std::move(diagnostic));
  }
  Value place = base;
  place.span = expr.span;
  place.offset_bits += found->offset_bits;
  place.bit_width = found->bit_width;
  const bool fresh = base.path.empty() && base.offset_bits == 0;
  if (!base.path.empty()) {
    place.path = base.path + '.' + expr.text;
  } else if (fresh && shape.name.find(' ') != std::string::npos) {
    place.path = shape.name + '.' + expr.text;
  } else {
    program_.fixed = true;
  }
  // What a pointer member points to is in the type of its value; the place keeps the member's own.
  place.type = guest_value_type(found->type);
  place.type.guest = found->type;
  place.type.has_guest = true;
  return place;
}

Value Compiler::index(const Expr& expr) {
  auto base = expression(expr.a);
  auto at = rvalue(expr.b);
  if (base.type.open())
    return base.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
  if (!want_number(at, "an index")) return error(expr.span);
  GuestType element{};
  Value start;
  if (base.is_place && base.type.is(TypeKind::array)) {
    const auto shape = options_.ports.types->shape(base.type.guest);
    element = shape.target;
    if (at.constant && shape.count > 0 && at.number >= shape.count) {
      return mistake(
          {.code = Code::out_of_range,
           .span = at.span,
           .message = fmt::format("{} has {} elements: the last is [{}]",
                                  quote(script_.at(expr.a).span), shape.count, shape.count - 1)});
    }
    start = address_of_place(base);
  } else {
    start = rvalue(base);
    if (start.type.open())
      return start.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
    if (!start.type.is(TypeKind::pointer)) {
      Diagnostic diagnostic{
          .code = Code::not_indexable,
          .span = script_.at(expr.a).span,
          .message = fmt::format("{} is {}: it has no elements", quote(script_.at(expr.a).span),
                                 describe(start.type.kind))};
      if (start.type.is(TypeKind::address) || start.type.is(TypeKind::integer))
        diagnostic.hint = "read memory with u64(address + 8 * i), or cast to a typed pointer";
      return mistake(std::move(diagnostic));
    }
    if (!start.type.has_guest) return untyped(start, expr.span);
    element = start.type.guest;
  }
  const auto shape = options_.ports.types->shape(element);
  if (shape.size == 0)
    return mistake({.code = Code::not_indexable,
                    .span = expr.span,
                    .message = "elements of unknown size cannot be counted"});
  const auto size = new_number();
  emit(Opcode::number, size, 0, 0,
       shape.name.empty() || shape.kind != GuestKind::structure
           ? pool(shape.size)
           : relocated({.kind = Relocation::type_size, .name = shape.name}, shape.size));
  const auto distance = new_number();
  emit(Opcode::mul, distance, number(at), size);
  const auto address = new_number();
  emit(Opcode::add, address, number(start), distance);
  return place_at(result(type_of(TypeKind::address), expr.span, address), element, expr.span);
}

}  // namespace vitrine::vmipl
