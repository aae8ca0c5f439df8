// Operators: what goes together, what is known beforehand, what it becomes.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "vmipl/operands.h"

namespace vitrine::vmipl {

Value Compiler::unary(const Expr& expr) {
  if (expr.op == Op::address_of) {
    const Expr& inner = script_.at(expr.a);
    if (inner.kind == Expr::Kind::name) {
      ++in_address_;
      auto value = expression(expr.a);
      --in_address_;
      value.span = expr.span;
      if (value.is_symbol || value.type.open()) return value;
      return mistake({.code = Code::wrong_type,
                      .span = expr.span,
                      .message = fmt::format("{} has no address in the guest", inner.text),
                      .hint = "& is of a symbol, or of a place in the guest's memory"});
    }
    auto place = expression(expr.a);
    if (place.type.open()) return place;
    if (!place.is_place) {
      return mistake({.code = Code::wrong_type,
                      .span = expr.span,
                      .message = fmt::format("{} has no address in the guest", quote(inner.span)),
                      .hint = "& is of a symbol, or of a place in the guest's memory"});
    }
    auto value = address_of_place(place);
    value.span = expr.span;
    return value;
  }
  if (expr.op == Op::dereference) {
    auto pointer = address_expression(expr.a);
    if (pointer.type.open()) return pointer;
    if (!pointer.type.is(TypeKind::pointer)) {
      return mistake(
          {.code = Code::not_a_pointer,
           .span = expr.span,
           .message = fmt::format("{} is {}: it does not say how much to read",
                                  quote(script_.at(expr.a).span), describe(pointer.type.kind)),
           .hint = fmt::format("u64({})", source_.text(script_.at(expr.a).span))});
    }
    if (!pointer.type.has_guest) return untyped(pointer, expr.span);
    return place_at(pointer, pointer.type.guest, expr.span);
  }
  if (expr.op == Op::logic_not) {
    auto value = condition(expr.a, false);
    if (value.type.open()) return value;
    if (value.constant) {
      auto folded = boolean(value.number == 0, expr.span);
      folded.typed = value.typed;
      return folded;
    }
    const auto reg = new_number();
    emit(Opcode::logic_not, reg, number(value));
    return result(type_of(TypeKind::boolean), expr.span, reg);
  }
  auto value = rvalue(expr.a);
  if (value.type.open()) return value;
  const bool negate = expr.op == Op::negate;
  if (!value.type.is(TypeKind::integer) && !(negate && value.type.is(TypeKind::duration)) &&
      !(!negate && value.type.is(TypeKind::address))) {
    return mistake(
        {.code = Code::type_mismatch,
         .span = expr.span,
         .message = fmt::format("`{}` takes a number; this is {}", text(expr.op),
                                describe(value.type.kind)),
         .hint = value.type.is(TypeKind::boolean) ? "the opposite of a truth value is !x" : ""});
  }
  Type type = value.type;
  type.bits = 64;
  if (negate) type.is_signed = true;
  if (value.constant) {
    // What is beyond -2^63 is no number of 64 bits; -2^63 itself has no opposite.
    constexpr std::uint64_t kLeast = 1ULL << 63;
    if (negate && (value.type.is_signed ? value.number == kLeast : value.number > kLeast)) {
      return mistake({.code = Code::number_too_large,
                      .span = expr.span,
                      .message = "the result does not fit 64 bits"});
    }
    auto folded = number_constant(negate ? 0 - value.number : ~value.number, type, expr.span);
    folded.literal = value.literal;
    folded.typed = value.typed;
    if (!negate) folded.type.is_signed = value.type.is_signed;
    return folded;
  }
  const auto reg = new_number();
  emit(negate ? Opcode::negate : Opcode::bit_not, reg, number(value));
  return result(type, expr.span, reg);
}

Value Compiler::binary(const Expr& expr) {
  if (expr.op == Op::logic_and || expr.op == Op::logic_or) return logic(expr);
  auto left = rvalue(expr.a);
  auto right = rvalue(expr.b);
  if (left.type.is(TypeKind::error) || right.type.is(TypeKind::error)) return error(expr.span);
  switch (expr.op) {
    case Op::eq:
    case Op::ne:
    case Op::lt:
    case Op::le:
    case Op::gt:
    case Op::ge:
      return compare(expr, std::move(left), std::move(right));
    default:
      return arithmetic(expr, expr.op, std::move(left), std::move(right), expr.name_span,
                        expr.span);
  }
}

Value Compiler::logic(const Expr& expr) {
  const bool conjunction = expr.op == Op::logic_and;
  // arg0 == 1 || 2: a number as written is no condition.
  for (const auto id : {expr.a, expr.b}) {
    const Expr& side = script_.at(id);
    if (side.kind != Expr::Kind::integer) continue;
    tell({.code = side.value != 0 ? Code::always_true : Code::always_false,
          .span = side.span,
          .message = fmt::format("this is always {}: it is compared with nothing", side.value != 0),
          .hint = "each is compared: a == 1 || a == 2"});
  }
  auto left = condition(expr.a, false);
  const bool left_known = left.constant;
  std::uint8_t reg = 0;
  OpPlace jump = 0;
  if (!left_known && !left.type.open()) {
    const auto from = number(left);
    reg = new_number();
    emit(Opcode::move, reg, from);
    jump = emit(conjunction ? Opcode::jump_false : Opcode::jump_if, 0, reg);
  }
  auto right = condition(expr.b, false);
  if (left.type.open() || right.type.open()) {
    if (jump != 0) patch(jump);
    return left.type.is(TypeKind::error) || right.type.is(TypeKind::error) ? error(expr.span)
                                                                           : unknown(expr.span);
  }
  if (left_known) {
    if ((left.number != 0) != conjunction) {
      auto folded = boolean(!conjunction, expr.span);
      folded.typed = left.typed;
      return folded;
    }
    right.typed = right.typed || left.typed;
    right.span = expr.span;
    return right;
  }
  emit(conjunction ? Opcode::logic_and : Opcode::logic_or, reg, reg, number(right));
  patch(jump);
  if (right.constant && (right.number != 0) != conjunction) {
    auto folded = boolean(!conjunction, expr.span);
    folded.typed = true;  // by the other side, which is no number as written
    return folded;
  }
  return result(type_of(TypeKind::boolean), expr.span, reg);
}

Value Compiler::arithmetic(const Expr& expr, Op op, Value left, Value right, Span sign,
                           Span whole) {
  (void)expr;
  if (left.type.open() || right.type.open()) return unknown(whole);
  const auto a = left.type.kind, b = right.type.kind;
  const bool ints = a == TypeKind::integer && b == TypeKind::integer;
  const bool bitwise = op == Op::bit_and || op == Op::bit_or || op == Op::bit_xor;
  std::optional<TypeKind> kind;
  bool scale_right = false, counts_elements = false;
  switch (op) {
    case Op::add:
      if (ints)
        kind = a;
      else if (addresslike(left.type) && b == TypeKind::integer)
        kind = a, scale_right = a == TypeKind::pointer;
      else if (a == TypeKind::integer && addresslike(right.type)) {
        std::swap(left, right);
        kind = b;
        scale_right = b == TypeKind::pointer;
      } else if ((a == TypeKind::time && b == TypeKind::duration) ||
                 (a == TypeKind::duration && b == TypeKind::time))
        kind = TypeKind::time;
      else if (a == TypeKind::duration && b == a)
        kind = a;
      break;
    case Op::sub:
      if (ints)
        kind = a;
      else if (addresslike(left.type) && b == TypeKind::integer)
        kind = a, scale_right = a == TypeKind::pointer;
      else if (addresslike(left.type) && addresslike(right.type))
        kind = TypeKind::integer, counts_elements = a == TypeKind::pointer && b == a;
      else if (a == TypeKind::integer && addresslike(right.type) && left.type.bits == 64)
        kind = a;  // arg0 - sys_call_table: how far
      else if (a == TypeKind::time && b == TypeKind::time)
        kind = TypeKind::duration;
      else if (a == TypeKind::time && b == TypeKind::duration)
        kind = a;
      else if (a == TypeKind::duration && b == a)
        kind = a;
      break;
    case Op::mul:
      if (ints)
        kind = a;
      else if (a == TypeKind::duration && b == TypeKind::integer)
        kind = a;
      else if (a == TypeKind::integer && b == TypeKind::duration)
        kind = b;
      break;
    case Op::div:
      if (ints)
        kind = a;
      else if (a == TypeKind::duration && b == TypeKind::integer)
        kind = a;
      else if (a == TypeKind::duration && b == a)
        kind = TypeKind::integer;
      break;
    case Op::rem:
      if (ints)
        kind = a;
      else if (a == TypeKind::duration && b == a)
        kind = a;
      else if (a == TypeKind::address && b == TypeKind::integer)
        kind = b;
      break;
    case Op::bit_and:
    case Op::bit_or:
    case Op::bit_xor:
      if (ints)
        kind = a;
      else if (wordlike(left.type) && wordlike(right.type))
        kind = TypeKind::address;
      break;
    case Op::shl:
    case Op::shr:
      if (ints)
        kind = a;
      else if (addresslike(left.type) && b == TypeKind::integer)
        kind = TypeKind::integer;
      break;
    default:
      break;
  }
  if (!kind) {
    Diagnostic diagnostic{
        .code = Code::type_mismatch,
        .span = whole,
        .message = fmt::format("`{}` does not take {} and {}", text(op), describe(a), describe(b))};
    if (left.type.textual() || right.type.textual()) {
      diagnostic.hint = op == Op::add   ? "texts are put together by Print's format: \"%s%s\""
                        : op == Op::rem ? "values follow the format: Print(\"%s\", value)"
                                        : "";
    } else if (bitwise && (a == TypeKind::boolean || b == TypeKind::boolean)) {
      diagnostic.hint = "truth values go together by && and ||";
      if (op != Op::bit_xor) {
        const auto twice = std::string(2, text(op).front());
        diagnostic.fix = Fix{sign, twice, fmt::format("write {}", twice)};
      }
    } else if ((a == TypeKind::duration || a == TypeKind::time) && right.literal) {
      diagnostic.hint = "durations have a unit: 10ms";
    } else if (op == Op::mul && addresslike(left.type)) {
      diagnostic.hint = "an address as a number: (u64)x";
    }
    return mistake(std::move(diagnostic));
  }
  Type type = type_of(*kind);
  if (*kind == TypeKind::pointer) type = left.type;
  if (*kind == TypeKind::integer) {
    const bool l = flexible(left) ? (flexible(right) || right.type.is_signed) : left.type.is_signed;
    const bool r = flexible(right) ? (flexible(left) || left.type.is_signed) : right.type.is_signed;
    type.is_signed =
        (op == Op::shl || op == Op::shr) ? left.type.is_signed || flexible(left) : l || r;
    if (ints && !type.is_signed) type.bits = 64;
    if (addresslike(left.type) && (op == Op::shl || op == Op::shr || op == Op::rem))
      type.is_signed = false;
    // A distance may lead either way.
    if (op == Op::sub && !ints) type.is_signed = true;
  }
  if ((op == Op::div || op == Op::rem) && right.constant && right.number == 0) {
    return mistake(
        {.code = Code::division_by_zero, .span = whole, .message = "this divides by zero"});
  }
  if ((op == Op::shl || op == Op::shr) && right.constant && right.number >= 64) {
    const bool negative = right.type.is_signed && as_signed(right.number) < 0;
    tell({.code = Code::shift_out,
          .span = whole,
          .message = negative ? "a shift by a negative number loses every bit"
                              : fmt::format("a shift by {} loses every bit", right.number)});
  }
  if (left.is_symbol && right.constant && !right.is_symbol && (op == Op::add || op == Op::sub)) {
    left.number += op == Op::add ? right.number : 0 - right.number;
    left.span = whole;
    return left;
  }
  if (left.constant && right.constant) {
    const std::uint64_t x = left.number, y = right.number;
    std::uint64_t value = 0;
    const bool is_signed = type.is_signed || *kind == TypeKind::duration || *kind == TypeKind::time;
    bool overflow = false;
    std::int64_t narrow = 0;
    switch (op) {
      case Op::add:
        value = x + y;
        overflow =
            is_signed ? __builtin_add_overflow(as_signed(x), as_signed(y), &narrow) : value < x;
        break;
      case Op::sub:
        value = x - y;
        overflow = is_signed ? __builtin_sub_overflow(as_signed(x), as_signed(y), &narrow) : x < y;
        break;
      case Op::mul: {
        std::uint64_t wide = 0;
        overflow = is_signed ? __builtin_mul_overflow(as_signed(x), as_signed(y), &narrow)
                             : __builtin_mul_overflow(x, y, &wide);
        value = x * y;
        break;
      }
      case Op::div:
        value = !is_signed ? x / y
                           : (as_signed(y) == -1
                                  ? 0 - x
                                  : static_cast<std::uint64_t>(as_signed(x) / as_signed(y)));
        break;
      case Op::rem:
        value = !is_signed ? x % y
                           : (as_signed(y) == -1
                                  ? 0
                                  : static_cast<std::uint64_t>(as_signed(x) % as_signed(y)));
        break;
      case Op::bit_and:
        value = x & y;
        break;
      case Op::bit_or:
        value = x | y;
        break;
      case Op::bit_xor:
        value = x ^ y;
        break;
      case Op::shl:
        value = y >= 64 ? 0 : x << y;
        break;
      case Op::shr:
        value = y >= 64     ? (is_signed && as_signed(x) < 0 ? ~0ULL : 0)
                : is_signed ? static_cast<std::uint64_t>(as_signed(x) >> y)
                            : x >> y;
        break;
      default:
        break;
    }
    if (overflow && !addresslike(type)) {
      return mistake({.code = Code::number_too_large,
                      .span = whole,
                      .message = "the result does not fit 64 bits"});
    }
    auto folded = number_constant(value, type, whole);
    folded.literal = left.literal && right.literal;
    folded.typed = left.typed || right.typed;
    return folded;
  }
  std::uint8_t factor = 0;  // holds how many bytes an element has
  bool counts = false;
  if (scale_right || counts_elements) {
    const auto* types = options_.ports.types;
    if (types == nullptr) incomplete_ = incomplete_ || !left.type.has_guest;
    if (left.type.has_guest && types != nullptr) {
      const auto shape = types->shape(left.type.guest);
      if (counts_elements &&
          (!right.type.has_guest || (right.type.guest != left.type.guest &&
                                     types->shape(right.type.guest).name != shape.name))) {
        return mistake({.code = Code::type_mismatch,
                        .span = whole,
                        .message = "these pointers are of different types",
                        .hint = "the distance in bytes: (u64)x - (u64)y"});
      }
      if (shape.size == 0 && shape.kind != GuestKind::none) {
        return mistake({.code = Code::not_indexable,
                        .span = whole,
                        .message = "elements of unknown size cannot be counted"});
      }
      counts = shape.size > 1;
      if (counts) {
        factor = new_number();
        emit(Opcode::number, factor, 0, 0,
             shape.kind != GuestKind::structure || shape.name.empty()
                 ? pool(shape.size)
                 : relocated({.kind = Relocation::type_size, .name = shape.name}, shape.size));
      }
    }
    if (counts && scale_right) {
      const auto scaled = new_number();
      emit(Opcode::mul, scaled, number(right), factor);
      right = result(right.type, right.span, scaled);
    }
  }
  const bool is_signed = type.is_signed || *kind == TypeKind::duration || *kind == TypeKind::time;
  Opcode opcode = Opcode::add;
  switch (op) {
    case Op::add:
      opcode = Opcode::add;
      break;
    case Op::sub:
      opcode = Opcode::sub;
      break;
    case Op::mul:
      opcode = Opcode::mul;
      break;
    case Op::div:
      opcode = is_signed ? Opcode::div_s : Opcode::div_u;
      break;
    case Op::rem:
      opcode = is_signed ? Opcode::rem_s : Opcode::rem_u;
      break;
    case Op::bit_and:
      opcode = Opcode::bit_and;
      break;
    case Op::bit_or:
      opcode = Opcode::bit_or;
      break;
    case Op::bit_xor:
      opcode = Opcode::bit_xor;
      break;
    case Op::shl:
      opcode = Opcode::shl;
      break;
    case Op::shr:
      opcode = is_signed ? Opcode::shr_s : Opcode::shr_u;
      break;
    default:
      break;
  }
  const auto x = number(left);
  const auto y = number(right);
  const auto reg = new_number();
  emit(opcode, reg, x, y);
  if (counts && counts_elements) emit(Opcode::div_s, reg, reg, factor);
  return result(type, whole, reg);
}

Value Compiler::conditional(const Expr& expr) {
  auto decide = condition(expr.a);
  // Both ways give one type, in one register.
  const auto number_reg = new_number();
  const auto text_reg = new_text();
  const bool known = decide.constant;
  OpPlace to_other = 0;
  if (!decide.type.open()) to_other = emit(Opcode::jump_unless, 0, number(decide));
  auto yes = rvalue(expr.b);
  const auto store = [&](Value& value) {
    if (value.type.open()) return;
    if (value.type.textual())
      emit(Opcode::move_text, text_reg, text(value));
    else
      emit(Opcode::move, number_reg, number(value));
  };
  store(yes);
  const auto to_end = emit(Opcode::jump);
  patch(to_other);
  auto no = rvalue(expr.c);
  store(no);
  patch(to_end);
  if (yes.type.is(TypeKind::error) || no.type.is(TypeKind::error) ||
      decide.type.is(TypeKind::error))
    return error(expr.span);
  if (!yes.type.open() && !no.type.open() && !fits(yes.type, no.type)) {
    return mistake({.code = Code::type_mismatch,
                    .span = expr.span,
                    .message = fmt::format("one way this is {}, the other way {}",
                                           described(yes.type), described(no.type))});
  }
  if (yes.type.open() || no.type.open() || decide.type.open()) return unknown(expr.span);
  Type type = yes.constant ? no.type : yes.type;
  type.is_signed = type.is(TypeKind::integer)
                       ? (flexible(yes)  ? no.type.is_signed
                          : flexible(no) ? yes.type.is_signed
                                         : yes.type.is_signed || no.type.is_signed)
                       : type.is_signed;
  // What one way has unsigned may be more than the other has bits for.
  if (known && yes.constant && no.constant) {
    auto chosen = decide.number != 0 ? yes : no;
    chosen.in_register = false;
    chosen.span = expr.span;
    chosen.typed = decide.typed || yes.typed || no.typed;
    if (chosen.typed) chosen.type.is_signed = type.is_signed;
    return chosen;
  }
  type.bits = yes.type.is_signed == no.type.is_signed ? std::max(yes.type.bits, no.type.bits) : 64;
  auto value = result(type, expr.span, type.textual() ? text_reg : number_reg);
  value.longest = std::max(
      yes.constant ? static_cast<std::uint16_t>(std::min<std::size_t>(yes.text.size(), UINT16_MAX))
                   : yes.longest,
      no.constant ? static_cast<std::uint16_t>(std::min<std::size_t>(no.text.size(), UINT16_MAX))
                  : no.longest);
  return value;
}

}  // namespace vitrine::vmipl
