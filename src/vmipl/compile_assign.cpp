// Assignments: to variables, to entries of maps, and what is counted there.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

/// A name that nothing declares and no kernel is known to have.
bool Compiler::is_free_name(ExprId id) const {
  const Expr& expr = script_.at(id);
  if (expr.kind != Expr::Kind::name || constants_.contains(expr.text) ||
      find_moment("", expr.text) != nullptr || is_moment_group(expr.text))
    return false;
  for (std::size_t i = floor_; i < locals_.size(); ++i) {
    if (locals_[i].name == expr.text) return false;
  }
  return options_.ports.symbols == nullptr || !options_.ports.symbols->find(expr.text);
}

void Compiler::assign(const Stmt& stmt) {
  if (stmt.a == ExprId::none || stmt.b == ExprId::none) {
    broken_ = true;
    return;
  }
  const Expr& target = script_.at(stmt.a);
  const Expr& source = script_.at(stmt.b);
  if (target.kind == Expr::Kind::bad || source.kind == Expr::Kind::bad) {
    broken_ = true;
    return;
  }
  if (target.kind == Expr::Kind::map) {
    auto value = expression(stmt.b);
    auto& map = map_state(target.text);
    const bool aggregating = value.type.is(TypeKind::aggregation);
    if (!aggregating) value = rvalue(std::move(value));
    map.written = true;
    ++map.assigned;
    if (stmt.op == Op::none && source.kind == Expr::Kind::binary && !source.parenthesized &&
        (source.op == Op::add || source.op == Op::sub) &&
        script_.at(source.a).kind == Expr::Kind::map &&
        source_.text(script_.at(source.a).span) == source_.text(target.span)) {
      const auto ours = fmt::format("{} {}= {}", source_.text(target.span), text(source.op),
                                    source_.text(script_.at(source.b).span));
      map.adds = Fix{stmt.span, ours, fmt::format("write {}", ours)};
    }
    std::vector<Value> keys;
    const auto operands = map_keys(map, target, keys);
    if (value.type.is(TypeKind::error)) return;
    const auto aggregate_name = [](Aggregate aggregate) {
      return aggregate == Aggregate::none ? std::string("single values")
                                          : fmt::format("{}()", vmipl::name(aggregate));
    };
    if (aggregating && stmt.op != Op::none) {
      tell({.code = Code::aggregation_misuse,
            .span = stmt.span,
            .message =
                fmt::format("{} is assigned with `=`: it adds up by itself", quote(source.span))});
      broken_ = true;
      return;
    }
    if (map.value_known) {
      if (map.aggregate != value.aggregate) {
        tell(
            {.code = Code::aggregation_misuse,
             .span = stmt.span,
             .message = fmt::format("@{} holds {} elsewhere, and {} here", map.name,
                                    aggregate_name(map.aggregate), aggregate_name(value.aggregate)),
             .notes = {{map.first_value, "first given here"}}});
        broken_ = true;
        return;
      }
      if (map.aggregate == Aggregate::linear &&
          (map.low != value.low || map.high != value.high || map.step != value.step)) {
        tell({.code = Code::aggregation_misuse,
              .span = source.span,
              .message = fmt::format("@{} has other steps elsewhere", map.name),
              .notes = {{map.first_value, "first given here"}}});
        broken_ = true;
        return;
      }
      if (!fits(map.value, value.type) && !aggregating && stmt.op == Op::none) {
        tell({.code = Code::map_value,
              .span = source.span,
              .message = fmt::format("@{} holds {}; this is {}", map.name, described(map.value),
                                     described(value.type)),
              .notes = {{map.first_value, "first given here"}}});
        broken_ = true;
        return;
      }
      if (map.value.is(TypeKind::unknown)) map.value = value.type;
    } else {
      map.value_known = true;
      map.first_value = stmt.span;
      map.aggregate = value.aggregate;
      map.low = value.low;
      map.high = value.high;
      map.step = value.step;
      map.value = value.type;
      if (aggregating)
        map.value =
            value.in_register || value.constant
                ? Type{.kind = static_cast<TypeKind>(value.use), .is_signed = value.type.is_signed}
                : type_of(TypeKind::integer);
    }
    Value counted = value;
    if (aggregating) counted.type.kind = static_cast<TypeKind>(value.use);
    widen(map, counted, stmt.op);
    if (value.type.is(TypeKind::row) || value.type.is(TypeKind::structure)) return;
    if (!operands || (value.type.open() && !aggregating)) return;
    const auto list = operand_list(*operands);
    const auto id = static_cast<std::uint8_t>(map.id);
    const auto count = static_cast<std::uint8_t>(operands->size());
    if (aggregating) {
      if (value.aggregate == Aggregate::count)
        value = number_constant(1, type_of(TypeKind::integer), value.span);
      if (!value.in_register && !value.constant) return;
      value.type = type_of(TypeKind::integer);
      emit(Opcode::map_update, number(value), id, count, list);
      return;
    }
    if (stmt.op == Op::none) {
      if (value.type.textual())
        emit(Opcode::map_set_text, text(value), id, count, list);
      else
        emit(Opcode::map_set, number(value), id, count, list);
      return;
    }
    if (!map.value.numeric() || !value.type.numeric()) {
      tell({.code = Code::type_mismatch,
            .span = stmt.span,
            .message =
                fmt::format("`{}=` takes numbers; this is {}", text(stmt.op),
                            describe(value.type.textual() ? value.type.kind : map.value.kind))});
      broken_ = true;
      return;
    }
    if ((stmt.op == Op::add || stmt.op == Op::sub) && same_family(map.value, value.type)) {
      auto reg = number(value);
      if (stmt.op == Op::sub) {
        const auto negative = new_number();
        emit(Opcode::negate, negative, reg);
        reg = negative;
      }
      emit(Opcode::map_add, reg, id, count, list);
      return;
    }
    const auto old = new_number();
    const auto gone = new_number();
    emit(Opcode::map_get, old, id, count, list);
    emit(Opcode::missing, gone, old);
    const auto there = emit(Opcode::jump_unless, 0, gone);
    emit(Opcode::number, old, 0, 0, pool(std::uint64_t{0}));
    patch(there);
    auto changed = arithmetic(target, stmt.op, result(map.value, target.span, old), value,
                              stmt.span, stmt.span);
    if (!changed.type.open()) emit(Opcode::map_set, number(changed), id, count, list);
    return;
  }
  if (target.kind == Expr::Kind::name) {
    for (std::size_t i = locals_.size(); i > floor_; --i) {
      const auto local = locals_[i - 1];
      if (local.name != target.text) continue;
      if (local.value.type.is(TypeKind::row)) break;
      Value value;
      if (stmt.op == Op::none) {
        value = rvalue(stmt.b);
      } else {
        auto old = local.value;
        old.span = target.span;
        auto right = rvalue(stmt.b);
        if (right.type.is(TypeKind::error)) return;
        value = arithmetic(target, stmt.op, old, right, stmt.span, stmt.span);
      }
      if (value.type.is(TypeKind::error)) return;
      if (!fits(local.value.type, value.type)) {
        tell({.code = Code::type_mismatch,
              .span = stmt.span,
              .message = fmt::format("{} is {}; this is {}", local.name,
                                     described(local.value.type), described(value.type)),
              .notes = {{local.span, "declared here"}}});
        broken_ = true;
        return;
      }
      if (local.value.type.open() || value.type.open()) return;
      if (local.text_register)
        emit(Opcode::move_text, local.value.reg, text(value));
      else
        emit(Opcode::move, local.value.reg, number(value));
      return;
    }
    Diagnostic diagnostic{.code = Code::not_assignable,
                          .span = target.span,
                          .message = fmt::format("{} is not a variable", target.text)};
    if (find_moment("", target.text) == nullptr && !constants_.contains(target.text)) {
      Nearest nearest(target.text);
      for (std::size_t i = floor_; i < locals_.size(); ++i) nearest.offer(locals_[i].name);
      if (nearest.found()) {
        suggest(diagnostic, nearest, target.span);
      } else if (stmt.op != Op::none) {
        diagnostic.hint = fmt::format("declare it before: let {} = 0; @{} keeps its value",
                                      target.text, target.text);
      } else {
        diagnostic.fix = Fix{{target.span.begin, target.span.begin},
                             "let ",
                             fmt::format("declare it: let {} = ...", target.text)};
      }
    }
    (void)rvalue(stmt.b);
    if (const auto constant = constants_.find(target.text); constant != constants_.end()) {
      used_.insert(constant->second->name_span.begin);
      diagnostic.message = fmt::format("{} is a constant", target.text);
    }
    broken_ = true;
    // As if it were declared: its uses are no mistakes of their own.
    if (is_free_name(stmt.a) && !undeclared_.insert(target.text).second) return;
    tell(std::move(diagnostic));
    return;
  }
  if (target.kind == Expr::Kind::index && is_free_name(target.a)) {
    const auto ours = fmt::format("@{}", script_.at(target.a).text);
    tell({.code = Code::not_assignable,
          .span = script_.at(target.a).span,
          .message = fmt::format("{} is not a map", script_.at(target.a).text),
          .fix = Fix{script_.at(target.a).span, ours, fmt::format("write {}", ours)}});
    (void)rvalue(stmt.b);
    broken_ = true;
    return;
  }
  const auto place = expression(stmt.a);
  (void)rvalue(stmt.b);
  if (place.type.is(TypeKind::error)) return;
  Diagnostic diagnostic{.code = Code::not_assignable,
                        .span = target.span,
                        .message = fmt::format("nothing is assigned to {}", quote(target.span))};
  if (place.is_place)
    diagnostic.hint = fmt::format("the guest's memory is written with WriteMemory(&{}, {})",
                                  source_.text(target.span), source_.text(source.span));
  if (target.kind == Expr::Kind::field && script_.at(target.a).kind == Expr::Kind::name &&
      script_.at(target.a).text == "reg") {
    diagnostic.hint = fmt::format("a register is written with WriteRegister({}, {})", target.text,
                                  source_.text(source.span));
  }
  tell(std::move(diagnostic));
  broken_ = true;
}

}  // namespace vitrine::vmipl
