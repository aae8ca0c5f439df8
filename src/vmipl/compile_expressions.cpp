// Expressions, and what of them is a value.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/compiler.h"
#include "vmipl/habits.h"

namespace vitrine::vmipl {

/// Functions of functions of functions: what is worked out at each use can be more than anybody
/// waits for, however short the script.
bool Compiler::spent(Span span) {
  constexpr std::size_t kMostSteps = 500'000;
  if (steps_ > kMostSteps) return true;
  if (++steps_ <= kMostSteps) return false;
  if (!full_)
    tell({.code = Code::too_large,
          .span = span,
          .message = "there is too much to be worked out",
          .hint = "functions and constants are worked out at each use, blocks for each probe"});
  full_ = broken_ = true;
  return true;
}

Value Compiler::expression(ExprId id) {
  if (id == ExprId::none) return error({});
  const Expr& expr = script_.at(id);
  if (spent(expr.span)) return error(expr.span);
  switch (expr.kind) {
    case Expr::Kind::bad:
      return error(expr.span);
    case Expr::Kind::integer: {
      Type type = type_of(expr.bare ? TypeKind::address : TypeKind::integer);
      type.is_signed = type.is(TypeKind::integer) && expr.value <= INT64_MAX;
      auto value = number_constant(expr.value, type, expr.span);
      value.literal = true;
      return value;
    }
    case Expr::Kind::duration:
      return number_constant(expr.value, type_of(TypeKind::duration), expr.span);
    case Expr::Kind::boolean: {
      auto value = boolean(expr.value != 0, expr.span);
      value.literal = true;
      return value;
    }
    case Expr::Kind::string:
      return Value{
          .type = type_of(TypeKind::text), .span = expr.span, .constant = true, .text = expr.text};
    case Expr::Kind::name:
      return name(expr);
    case Expr::Kind::map:
      return map_read(expr);
    case Expr::Kind::field:
      return field(expr);
    case Expr::Kind::arrow:
      return arrow(expr);
    case Expr::Kind::index:
      return index(expr);
    case Expr::Kind::call:
      return call(expr);
    case Expr::Kind::unary:
      return unary(expr);
    case Expr::Kind::binary:
      return binary(expr);
    case Expr::Kind::conditional:
      return conditional(expr);
    case Expr::Kind::cast:
      return cast(expr);
    case Expr::Kind::size_of:
      return size_of(expr);
    case Expr::Kind::offset_of:
      return offset_of(expr);
    case Expr::Kind::output:
      return Value{.type = type_of(TypeKind::output), .span = expr.span, .text = expr.text};
    case Expr::Kind::mac:
    case Expr::Kind::star:
      return Value{.type = type_of(TypeKind::pattern), .span = expr.span, .number = expr.value};
  }
  return error(expr.span);
}

Value Compiler::rvalue(ExprId id) { return rvalue(expression(id)); }

Value Compiler::rvalue(Value value) {
  if (value.is_place) return read_place(value);
  switch (value.type.kind) {
    case TypeKind::nothing:
      if (value.use == 1) {
        return mistake(
            {.code = Code::missing_return,
             .span = value.span,
             .message = fmt::format("{} is used as a value, and returns none", quote(value.span)),
             .hint = "return x, or: fn f(x) = x"});
      }
      return mistake(
          {.code = Code::no_value,
           .span = value.span,
           .message = fmt::format("{} does something; it has no value", quote(value.span))});
    case TypeKind::aggregation:
      return mistake(
          {.code = Code::aggregation_misuse,
           .span = value.span,
           .message = fmt::format("{} is not a value: it is assigned to a map", quote(value.span)),
           .hint = fmt::format("@name[key] = {}", source_.text(value.span))});
    case TypeKind::row:
      return mistake(
          {.code = Code::no_value,
           .span = value.span,
           .message = fmt::format("{} is a row: take a column of it", quote(value.span))});
    case TypeKind::group:
      return mistake(
          {.code = Code::no_value,
           .span = value.span,
           .message = fmt::format("{} has fields, and no value of its own", quote(value.span)),
           .hint = value.group == "process"   ? "process.name, process.pid ..."
                   : value.group == "thread"  ? "thread.tid ..."
                   : value.group == "syscall" ? "syscall.name, syscall.number"
                                              : ""});
    case TypeKind::output:
      return mistake(
          {.code = Code::wrong_argument,
           .span = value.span,
           .message = fmt::format("{} is an output; here a value stands", quote(value.span))});
    case TypeKind::map:
      return mistake(
          {.code = Code::map_keys,
           .span = value.span,
           .message = fmt::format("{} is a whole map; here an entry stands", quote(value.span)),
           .hint = "@map[key]"});
    case TypeKind::pattern:
      return mistake({.code = Code::wrong_argument,
                      .span = value.span,
                      .message = fmt::format("{} is no value", quote(value.span))});
    default:
      return value;
  }
}

Value Compiler::address_expression(ExprId id) {
  ++in_address_;
  auto value = rvalue(id);
  --in_address_;
  return value;
}

}  // namespace vitrine::vmipl
