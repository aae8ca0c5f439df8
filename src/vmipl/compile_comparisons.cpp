// Comparisons: of numbers, texts, durations, pointers.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/operands.h"

namespace vitrine::vmipl {

Value Compiler::compare(const Expr& expr, Value left, Value right) {
  if (left.type.open() || right.type.open()) return unknown(expr.span);
  const bool equality = expr.op == Op::eq || expr.op == Op::ne;
  const auto sign = text(expr.op);
  const auto always = [&](bool outcome, std::string why) {
    tell({.code = outcome ? Code::always_true : Code::always_false,
          .span = expr.span,
          .message = fmt::format("this is always {}: {}", outcome, why)});
  };
  const auto mismatch = [&](std::string hint = {}, std::optional<Fix> fix = {}) {
    return mistake({.code = Code::type_mismatch,
                    .span = expr.span,
                    .message = fmt::format("`{}` compares {} with {}", sign,
                                           describe(left.type.kind), describe(right.type.kind)),
                    .hint = std::move(hint),
                    .fix = std::move(fix)});
  };
  const bool textual = (left.type.is(TypeKind::text) || left.type.is(TypeKind::bytes)) &&
                       (right.type.is(TypeKind::text) || right.type.is(TypeKind::bytes));
  if (textual) {
    if (left.constant && right.constant) {
      const int order = left.text.compare(right.text);
      return boolean(expr.op == Op::eq   ? order == 0
                     : expr.op == Op::ne ? order != 0
                     : expr.op == Op::lt ? order < 0
                     : expr.op == Op::le ? order <= 0
                     : expr.op == Op::gt ? order > 0
                                         : order >= 0,
                     expr.span);
    }
    const Value& known = left.constant ? left : right;
    const Value& open = left.constant ? right : left;
    if (equality && known.constant && known.text.size() > open.longest) {
      always(expr.op == Op::ne, fmt::format("{} has at most {} bytes, and this text has {}",
                                            quote(open.span), open.longest, known.text.size()));
    }
    if (equality && known.constant && known.text.find_first_of("*?") != std::string::npos) {
      tell({.code = Code::always_false,
            .span = known.span,
            .message = "`==` compares letter by letter: * and ? are no pattern here",
            .hint =
                fmt::format("matches({}, {})", source_.text(open.span), source_.text(known.span))});
    }
    const bool swap = expr.op == Op::gt || expr.op == Op::le;
    const bool invert = expr.op == Op::ne || expr.op == Op::le || expr.op == Op::ge;
    const auto a = text(swap ? right : left);
    const auto b = text(swap ? left : right);
    const auto reg = new_number();
    emit(equality ? Opcode::text_eq : Opcode::text_lt, reg, a, b);
    if (invert) emit(Opcode::logic_not, reg, reg);
    return result(type_of(TypeKind::boolean), expr.span, reg);
  }
  const auto a = left.type.kind, b = right.type.kind;
  const bool words = wordlike(left.type) && wordlike(right.type);
  const bool zero = (a == TypeKind::duration && right.literal && right.number == 0) ||
                    (b == TypeKind::duration && left.literal && left.number == 0);
  if (!words && !zero && !(a == b && left.type.numeric() && (a != TypeKind::boolean || equality))) {
    if (a == TypeKind::duration && right.literal && b == TypeKind::integer) {
      return mismatch(
          "durations have a unit",
          Fix{right.span, std::string(source_.text(right.span)) + "ns",
              fmt::format("write {}ns, if nanoseconds are meant", source_.text(right.span))});
    }
    if ((a == TypeKind::text && b == TypeKind::integer) ||
        (b == TypeKind::text && a == TypeKind::integer)) {
      const Value& digits = a == TypeKind::integer ? left : right;
      const Value& textual_side = a == TypeKind::integer ? right : left;
      if (digits.literal)
        return mismatch("text is compared with text",
                        Fix{digits.span, fmt::format("\"{}\"", source_.text(digits.span)),
                            fmt::format("write \"{}\"", source_.text(digits.span))});
      if (textual_side.constant) {
        if (const auto* call = find_system_call(textual_side.text); call != nullptr)
          return mismatch(fmt::format("the number of {} is {}", call->name, call->number));
      }
      if (digits.argument) {  // a program's text is behind its address
        const auto ours = fmt::format("string({})", source_.text(digits.span));
        return mismatch({}, Fix{digits.span, ours, fmt::format("write {}", ours)});
      }
      if (textual_side.constant && textual_side.text == "root")
        return mismatch("a user is a number: root is 0");
    }
    if (a == TypeKind::boolean || b == TypeKind::boolean)
      return mismatch("a truth value stands alone: `x`, `!x`");
    if (a == TypeKind::list || b == TypeKind::list)
      return mismatch("contains(list, text) looks into a list");
    return mismatch();
  }
  const Type& l = left.type;
  const Type& r = right.type;
  bool left_signed = l.is_signed, right_signed = r.is_signed;
  if (flexible(left)) left_signed = right_signed;
  if (flexible(right)) right_signed = left_signed;
  if (flexible(left) && flexible(right)) left_signed = right_signed = true;
  if (left.constant && right.constant && !left.is_symbol && !right.is_symbol) {
    const bool less = left_signed && right_signed ? as_signed(left.number) < as_signed(right.number)
                      : left_signed  ? as_signed(left.number) < 0 || left.number < right.number
                      : right_signed ? as_signed(right.number) >= 0 && left.number < right.number
                                     : left.number < right.number;
    const bool same =
        left.number == right.number && (left_signed == right_signed || as_signed(left.number) >= 0);
    auto folded = boolean(expr.op == Op::eq   ? same
                          : expr.op == Op::ne ? !same
                          : expr.op == Op::lt ? less
                          : expr.op == Op::le ? less || same
                          : expr.op == Op::gt ? !less && !same
                                              : !less,
                          expr.span);
    folded.typed = left.typed || right.typed;
    return folded;
  }
  // What the values' widths tell beforehand.
  const auto judge = [&](const Value& value, const Value& known, bool swapped) {
    if (!known.constant || known.is_symbol || !value.type.is(TypeKind::integer) || value.constant)
      return;
    __extension__ using Wide = __int128;
    const unsigned bits = value.type.bits;
    const Wide least = value.type.is_signed ? -(Wide{1} << (bits - 1)) : 0;
    const Wide most = value.type.is_signed ? (Wide{1} << (bits - 1)) - 1 : (Wide{1} << bits) - 1;
    const Wide constant = known.type.is_signed ? Wide{as_signed(known.number)} : Wide{known.number};
    Op op = expr.op;
    if (swapped)
      op = op == Op::lt   ? Op::gt
           : op == Op::le ? Op::ge
           : op == Op::gt ? Op::lt
           : op == Op::ge ? Op::le
                          : op;
    int outcome = -1;
    if (op == Op::eq && (constant < least || constant > most)) outcome = 0;
    if (op == Op::ne && (constant < least || constant > most)) outcome = 1;
    if (op == Op::lt) outcome = constant > most ? 1 : constant <= least ? 0 : -1;
    if (op == Op::le) outcome = constant >= most ? 1 : constant < least ? 0 : -1;
    if (op == Op::gt) outcome = constant >= most ? 0 : constant < least ? 1 : -1;
    if (op == Op::ge) outcome = constant > most ? 0 : constant <= least ? 1 : -1;
    if (outcome < 0) return;
    // -1 against an unsigned word is the classic way to say "all bits": let it be told what it is.
    always(outcome == 1,
           value.type.is_signed || bits < 64
               ? fmt::format("{} is {} with {} bits", quote(value.span),
                             value.type.is_signed ? "a signed number" : "an unsigned number", bits)
               : fmt::format("{} is never negative", quote(value.span)));
  };
  judge(left, right, false);
  judge(right, left, true);
  const auto same_text = source_.text(left.span);
  if (!left.constant && same_text == source_.text(right.span) &&
      same_text.find('(') == std::string_view::npos && left.span.begin != right.span.begin) {
    always(expr.op == Op::eq || expr.op == Op::le || expr.op == Op::ge, "both sides are the same");
  }
  const bool swap = expr.op == Op::gt || expr.op == Op::le;
  const bool invert = expr.op == Op::ne || expr.op == Op::le || expr.op == Op::ge;
  const auto x = number(left);
  const auto y = number(right);
  const auto reg = new_number();
  if (equality) {
    if (left_signed == right_signed)
      emit(Opcode::eq, reg, x, y);
    else if (left_signed)
      emit(Opcode::eq_su, reg, x, y);
    else
      emit(Opcode::eq_su, reg, y, x);
  } else {
    const bool first = swap ? right_signed : left_signed;
    const bool second = swap ? left_signed : right_signed;
    emit(first && second ? Opcode::lt_s
         : first         ? Opcode::lt_su
         : second        ? Opcode::lt_us
                         : Opcode::lt_u,
         reg, swap ? y : x, swap ? x : y);
  }
  if (invert) emit(Opcode::logic_not, reg, reg);
  return result(type_of(TypeKind::boolean), expr.span, reg);
}

}  // namespace vitrine::vmipl
