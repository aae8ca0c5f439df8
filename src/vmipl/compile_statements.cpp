// Statements.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/compiler.h"
#include "vmipl/habits.h"

namespace vitrine::vmipl {

void Compiler::block(const std::vector<StmtId>& body) {
  Scope scope(*this);
  bool warned = false;
  for (const auto id : body) {
    const auto& stmt = script_.at(id);
    if (left_ && !warned && stmt.kind != Stmt::Kind::bad) {
      tell({.code = Code::unreachable, .span = stmt.span, .message = "this is never reached: what stands before always leaves"});
      warned = true;
    }
    statement(stmt);
  }
}

void Compiler::statement(const Stmt& stmt) {
  if (stmt.kind == Stmt::Kind::let) return let(stmt);
  Scope scope(*this);
  switch (stmt.kind) {
    case Stmt::Kind::bad: broken_ = true; break;
    case Stmt::Kind::expression: expression_statement(stmt); break;
    case Stmt::Kind::let: break;
    case Stmt::Kind::assign: assign(stmt); break;
    case Stmt::Kind::if_: if_(stmt); break;
    case Stmt::Kind::for_range: for_range(stmt); break;
    case Stmt::Kind::for_view: for_view(stmt); break;
    case Stmt::Kind::block: block(stmt.body); break;
    case Stmt::Kind::filter: filter(stmt); break;
    case Stmt::Kind::return_: return_(stmt); break;
    case Stmt::Kind::break_:
    case Stmt::Kind::continue_: {
      const bool leaves = stmt.kind == Stmt::Kind::break_;
      if (loops_.empty()) {
        tell({.code = Code::outside_loop, .span = stmt.span, .message = fmt::format("`{}` stands outside of a loop", leaves ? "break" : "continue"),
              .hint = leaves ? "`return` ends the firing" : ""});
        broken_ = true;
        break;
      }
      auto& jumps = leaves ? loops_.back().breaks : loops_.back().continues;
      jumps.push_back(emit(Opcode::jump));
      left_ = true;
      break;
    }
  }
}

void Compiler::declare_local(Local local, Code unused) {
  const auto& name = local.name;
  if (unused == Code::count_) {
    // A counter that nobody reads is how people repeat things.
  } else if (!name.starts_with('_')) declared_.try_emplace(local.span.begin, local.span, unused);
  else declared_.erase(local.span.begin);
  for (std::size_t i = locals_.size(); i > floor_; --i) {
    if (locals_[i - 1].name != name) continue;
    tell({.code = Code::shadowing, .span = local.span, .message = fmt::format("{} hides another {}", name, name), .notes = {{locals_[i - 1].span, "this one"}}});
    locals_.push_back(std::move(local));
    return;
  }
  if (constants_.contains(name)) {
    tell({.code = Code::shadowing, .span = local.span, .message = fmt::format("{} hides the constant {}", name, name), .notes = {{constants_.find(name)->second->name_span, "this one"}}});
  } else if (find_moment("", name) != nullptr || is_moment_group(name) || name == "event" || name == "reg" || name == "phys") {
    tell({.code = Code::shadowing, .span = local.span, .message = fmt::format("{} hides the language's own {}", name, name), .hint = "give it another name"});
  }
  locals_.push_back(std::move(local));
}

void Compiler::let(const Stmt& stmt) {
  if (stmt.a == ExprId::none) {
    broken_ = true;
    return;
  }
  // The variable's register outlives what its value took to compute.
  const auto number_reg = new_number();
  const auto text_reg = new_text();
  Value value;
  bool textual = false;
  {
    Scope scope(*this);
    value = expression(stmt.a);
    // A structure may be named: it is a place, and the name means that place.
    if (value.is_place && value.type.is(TypeKind::structure)) {
      value = address_of_place(value);
    } else {
      value = rvalue(std::move(value));
    }
    textual = value.type.textual();
    if (!value.type.open()) {
      if (textual) emit(Opcode::move_text, text_reg, text(value));
      else emit(Opcode::move, number_reg, number(value));
    }
  }
  if (textual) --next_number_;
  else --next_text_;
  Value held = result(value.type, stmt.name_span, textual ? text_reg : number_reg);
  if (held.type.is(TypeKind::integer) && value.constant && value.number <= INT64_MAX) held.type.is_signed = true;
  held.type.bits = 64;
  for (std::size_t i = locals_.size(); i > floor_; --i) {
    // In the same block it is a slip, not a shadow.
    if (locals_[i - 1].name == stmt.name && locals_[i - 1].span.begin == stmt.name_span.begin) return;
  }
  declare_local({stmt.name, stmt.name_span, held, textual}, Code::unused_let);
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
    std::vector<Value> keys;
    const auto operands = map_keys(map, target, keys);
    if (value.type.is(TypeKind::error)) return;
    const auto aggregate_name = [](Aggregate aggregate) { return aggregate == Aggregate::none ? std::string("single values") : fmt::format("{}()", vmipl::name(aggregate)); };
    if (aggregating && stmt.op != Op::none) {
      tell({.code = Code::aggregation_misuse, .span = stmt.span, .message = fmt::format("{} is assigned with `=`: it adds up by itself", quote(source.span))});
      broken_ = true;
      return;
    }
    if (map.value_known) {
      if (map.aggregate != value.aggregate) {
        tell({.code = Code::aggregation_misuse, .span = stmt.span,
              .message = fmt::format("@{} holds {} elsewhere, and {} here", map.name, aggregate_name(map.aggregate), aggregate_name(value.aggregate)), .notes = {{map.first_value, "first given here"}}});
        broken_ = true;
        return;
      }
      if (map.aggregate == Aggregate::linear && (map.low != value.low || map.high != value.high || map.step != value.step)) {
        tell({.code = Code::aggregation_misuse, .span = source.span, .message = fmt::format("@{} has other steps elsewhere", map.name), .notes = {{map.first_value, "first given here"}}});
        broken_ = true;
        return;
      }
      if (!same_family(map.value, value.type) && !aggregating && stmt.op == Op::none) {
        tell({.code = Code::map_value, .span = source.span, .message = fmt::format("@{} holds {}; this is {}", map.name, describe(map.value.kind), describe(value.type.kind)),
              .notes = {{map.first_value, "first given here"}}});
        broken_ = true;
        return;
      }
      if (map.value.is(TypeKind::unknown)) map.value = aggregating ? value.type : value.type;
    } else {
      map.value_known = true;
      map.first_value = stmt.span;
      map.aggregate = value.aggregate;
      map.low = value.low;
      map.high = value.high;
      map.step = value.step;
      map.value = value.type;
      if (aggregating) map.value = value.in_register || value.constant ? Type{.kind = static_cast<TypeKind>(value.use), .is_signed = value.type.is_signed} : type_of(TypeKind::integer);
    }
    if (value.type.is(TypeKind::row) || value.type.is(TypeKind::structure)) return;
    if (!operands || (value.type.open() && !aggregating)) return;
    const auto list = operand_list(*operands);
    const auto id = static_cast<std::uint8_t>(map.id);
    const auto count = static_cast<std::uint8_t>(operands->size());
    if (aggregating) {
      if (value.aggregate == Aggregate::count) value = number_constant(1, type_of(TypeKind::integer), value.span);
      if (!value.in_register && !value.constant) return;
      value.type = type_of(TypeKind::integer);
      emit(Opcode::map_update, number(value), id, count, list);
      return;
    }
    if (stmt.op == Op::none) {
      if (value.type.textual()) emit(Opcode::map_set_text, text(value), id, count, list);
      else emit(Opcode::map_set, number(value), id, count, list);
      return;
    }
    if (!map.value.numeric() || !value.type.numeric()) {
      tell({.code = Code::type_mismatch, .span = stmt.span, .message = fmt::format("`{}=` takes numbers; this is {}", text(stmt.op), describe(value.type.textual() ? value.type.kind : map.value.kind))});
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
    auto changed = arithmetic(target, stmt.op, result(map.value, target.span, old), value, stmt.span, stmt.span);
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
      if (!same_family(local.value.type, value.type)) {
        tell({.code = Code::type_mismatch, .span = stmt.span, .message = fmt::format("{} is {}; this is {}", local.name, describe(local.value.type.kind), describe(value.type.kind)),
              .notes = {{local.span, "declared here"}}});
        broken_ = true;
        return;
      }
      if (local.value.type.open() || value.type.open()) return;
      if (local.text_register) emit(Opcode::move_text, local.value.reg, text(value));
      else emit(Opcode::move, local.value.reg, number(value));
      return;
    }
    Diagnostic diagnostic{.code = Code::not_assignable, .span = target.span, .message = fmt::format("{} is not a variable", target.text)};
    if (find_moment("", target.text) == nullptr && !constants_.contains(target.text)) {
      Nearest nearest(target.text);
      for (std::size_t i = floor_; i < locals_.size(); ++i) nearest.offer(locals_[i].name);
      if (nearest.found()) {
        suggest(diagnostic, nearest, target.span);
      } else {
        diagnostic.fix = Fix{{target.span.begin, target.span.begin}, "let ", fmt::format("declare it: let {} = ...", target.text)};
      }
    }
    (void)rvalue(stmt.b);
    if (const auto constant = constants_.find(target.text); constant != constants_.end()) {
      used_.insert(constant->second->name_span.begin);
      diagnostic.message = fmt::format("{} is a constant", target.text);
    }
    tell(std::move(diagnostic));
    broken_ = true;
    return;
  }
  const auto place = expression(stmt.a);
  (void)rvalue(stmt.b);
  if (place.type.is(TypeKind::error)) return;
  Diagnostic diagnostic{.code = Code::not_assignable, .span = target.span, .message = fmt::format("nothing is assigned to {}", quote(target.span))};
  if (place.is_place) diagnostic.hint = fmt::format("the guest's memory is written with WriteMemory(&{}, {})", source_.text(target.span), source_.text(source.span));
  if (target.kind == Expr::Kind::field && script_.at(target.a).kind == Expr::Kind::name && script_.at(target.a).text == "reg") {
    diagnostic.hint = fmt::format("a register is written with WriteRegister({}, {})", target.text, source_.text(source.span));
  }
  tell(std::move(diagnostic));
  broken_ = true;
}

Value Compiler::condition(ExprId id, bool told) {
  auto value = expression(id);
  const bool literal = value.literal;
  value = rvalue(std::move(value));
  const Span span = value.span;
  if (value.type.open()) return value;
  if (value.type.textual()) {
    return mistake({.code = Code::not_a_condition, .span = span, .message = fmt::format("{} is {}: it is neither true nor false", quote(span), describe(value.type.kind)),
                    .hint = fmt::format("compare it: {} != \"\"", source_.text(span))});
  }
  if (!value.type.numeric()) {
    return mistake({.code = Code::not_a_condition, .span = span, .message = fmt::format("{} is {}: it is neither true nor false", quote(span), describe(value.type.kind))});
  }
  if (value.is_symbol) {
    if (told) tell({.code = Code::always_true, .span = span, .message = fmt::format("{} is an address: it is always true", quote(span)), .hint = fmt::format("its value in memory: u64({})", source_.text(span))});
    return boolean(true, span);
  }
  if (value.constant) {
    const bool truth = value.number != 0;
    if (told && !(literal && value.type.is(TypeKind::boolean))) {
      tell({.code = truth ? Code::always_true : Code::always_false, .span = span, .message = fmt::format("this is always {}", truth)});
    }
    return boolean(truth, span);
  }
  if (value.type.is(TypeKind::boolean)) return value;
  const auto reg = new_number();
  emit(Opcode::truth, reg, number(value));
  return result(type_of(TypeKind::boolean), span, reg);
}

void Compiler::if_(const Stmt& stmt) {
  auto decide = condition(stmt.a);
  OpPlace to_other = SIZE_MAX;
  if (!decide.type.open()) to_other = emit(Opcode::jump_unless, 0, number(decide));
  const bool before = left_;
  block(stmt.body);
  const bool then_left = left_;
  left_ = before;
  if (!stmt.has_else) {
    patch(to_other);
    return;
  }
  const auto to_end = emit(Opcode::jump);
  patch(to_other);
  block(stmt.other);
  patch(to_end);
  left_ = before || (then_left && left_);
}

void Compiler::for_range(const Stmt& stmt) {
  auto from = rvalue(stmt.a);
  auto to = rvalue(stmt.b);
  const bool good = want_number(from, "where a range begins") & want_number(to, "where a range ends");
  if (good && from.constant && to.constant && static_cast<std::int64_t>(to.number) <= static_cast<std::int64_t>(from.number)) {
    tell({.code = Code::empty_range, .span = from.span.to(to.span), .message = fmt::format("this range is empty: it goes from {} up to, not including, {}", source_.text(from.span), source_.text(to.span))});
  }
  const auto counter = new_number();
  const auto more = new_number();
  std::uint8_t end = 0;
  if (good && !from.type.open()) emit(Opcode::move, counter, number(from));
  if (good && !to.type.open()) end = number(to);
  const bool is_unsigned = !from.type.is_signed && !to.type.is_signed;
  const auto top = here();
  emit(is_unsigned ? Opcode::lt_u : Opcode::lt_s, more, counter, end);
  const auto leave = emit(Opcode::jump_unless, 0, more);
  Type type = type_of(TypeKind::integer);
  type.is_signed = !is_unsigned;
  loops_.emplace_back();
  {
    // The body may assign to its variable; the loop counts by itself.
    Scope scope(*this);
    const auto variable = new_number();
    emit(Opcode::move, variable, counter);
    Value value = result(good ? type : type_of(TypeKind::error), stmt.name_span, variable);
    declare_local({stmt.name, stmt.name_span, value, false}, Code::count_);
    const bool before = left_;
    block(stmt.body);
    left_ = before;
  }
  for (const auto jump : loops_.back().continues) patch(jump);
  {
    Scope scope(*this);
    const auto one = new_number();
    emit(Opcode::number, one, 0, 0, pool(std::uint64_t{1}));
    emit(Opcode::add, counter, counter, one);
  }
  emit(Opcode::jump, 0, 0, 0, top);
  patch(leave);
  for (const auto jump : loops_.back().breaks) patch(jump);
  loops_.pop_back();
}

void Compiler::for_view(const Stmt& stmt) {
  if (stmt.view.empty()) {
    broken_ = true;
    return;
  }
  const auto* views = options_.ports.views;
  bool good = true;
  if (views != nullptr && !views->columns(stmt.view)) {
    Nearest nearest(stmt.view);
    for (const auto& name : views->names()) nearest.offer(name);
    Diagnostic diagnostic{.code = Code::unknown_view, .span = stmt.view_span, .message = fmt::format("there is no view called {}", stmt.view)};
    const auto meant = view_habit(stmt.view);
    suggest(diagnostic, nearest, stmt.view_span, !meant.empty() && views->columns(meant) ? meant : "");
    if (!diagnostic.fix) diagnostic.hint = "`vitrine views` lists them; a range is written 0..10";
    tell(std::move(diagnostic));
    broken_ = true;
    good = false;
  }
  if (views == nullptr) {
    // A name that is something else is certainly no view.
    bool local = false;
    for (std::size_t i = floor_; i < locals_.size(); ++i) local = local || locals_[i].name == stmt.view;
    if (local || constants_.contains(stmt.view)) {
      tell({.code = Code::unknown_view, .span = stmt.view_span, .message = fmt::format("{} is no view", stmt.view), .hint = fmt::format("to count: for ({} in 0..{})", stmt.name, stmt.view)});
      broken_ = true;
      good = false;
    }
    incomplete_ = true;
  }
  if (next_slot_ >= kMaxViewSlots) {
    tell({.code = Code::too_many, .span = stmt.span, .message = fmt::format("loops over views are nested at most {} deep", kMaxViewSlots)});
    broken_ = true;
    return;
  }
  const auto slot = static_cast<std::uint8_t>(next_slot_++);
  program_.views.push_back({stmt.view, {}, {}});
  const auto use = static_cast<std::uint32_t>(program_.views.size() - 1);
  emit(Opcode::view_open, slot, 0, 0, static_cast<std::int32_t>(use));
  const auto top = here();
  const auto next = emit(Opcode::view_next, slot);
  loops_.emplace_back();
  {
    Scope scope(*this);
    Value row = result(type_of(good ? TypeKind::row : TypeKind::error), stmt.name_span, 0);
    row.slot = slot;
    row.use = use;
    declare_local({stmt.name, stmt.name_span, row, false}, Code::unused_row);
    const bool before = left_;
    block(stmt.body);
    left_ = before;
  }
  for (const auto jump : loops_.back().continues) patch(jump);
  emit(Opcode::jump, 0, 0, 0, top);
  patch(next);
  for (const auto jump : loops_.back().breaks) patch(jump);
  loops_.pop_back();
}

void Compiler::filter(const Stmt& stmt) {
  const Expr& expr = script_.at(stmt.a);
  const auto* probe = find_probe(expr.text);
  if (probe == nullptr || probe->kind != ProbeKind::filter) {
    if (probe == nullptr) {
      // Told by the parser where it was PascalCase.
      if (expr.text.front() >= 'a') {
        Diagnostic diagnostic{.code = Code::unknown_function, .span = expr.name_span, .message = fmt::format("{} has no block", expr.text), .hint = "a condition is written: if (...) { ... }"};
        tell(std::move(diagnostic));
      }
    }
    broken_ = true;
    block(stmt.body);
    return;
  }
  if (!count_arguments(*probe, expr.name_span, expr.args)) {
    block(stmt.body);
    return;
  }
  OpPlace jump = SIZE_MAX;
  {
    Value left;
    bool good = true;
    if (probe->name == "RegisterHasValue") {
      const auto reg = register_name(expr.args[0]);
      good = reg.has_value();
      const auto to = new_number();
      if (reg) emit(Opcode::reg, to, 0, 0, *reg);
      left = result(Type{.kind = TypeKind::integer, .is_signed = false}, script_.at(expr.args[0]).span, to);
    } else {
      auto address = address_expression(expr.args[0]);
      good = want_address(address, "an address");
      const auto to = new_number();
      if (good && !address.type.open()) emit(Opcode::read, to, number(address), 8, pool(std::uint64_t{0}));
      left = result(Type{.kind = TypeKind::integer, .is_signed = false}, script_.at(expr.args[0]).span, to);
    }
    auto value = rvalue(expr.args[1]);
    good = want_number(value, "the value to compare with") && good;
    if (good && !value.type.open()) {
      const auto same = new_number();
      emit(Opcode::eq, same, number(left), number(value));
      jump = emit(Opcode::jump_unless, 0, same);
    }
  }
  if (stmt.body.empty()) tell({.code = Code::empty_block, .span = stmt.span, .message = fmt::format("{} gates nothing", expr.text)});
  const bool before = left_;
  block(stmt.body);
  left_ = before;
  patch(jump);
}

void Compiler::return_(const Stmt& stmt) {
  if (inlined_.empty()) {
    if (stmt.a != ExprId::none) {
      tell({.code = Code::wrong_use, .span = stmt.span, .message = "a probe returns nothing", .hint = "`return` alone ends the firing; functions (fn) return values"});
      broken_ = true;
      (void)rvalue(stmt.a);
    }
    emit(Opcode::halt);
    left_ = true;
    return;
  }
  const auto at = inlined_.size() - 1;
  if (stmt.a != ExprId::none) {
    auto value = rvalue(stmt.a);
    auto& here_in = inlined_[at];
    if (here_in.has_value && !same_family(here_in.value.type, value.type)) {
      tell({.code = Code::type_mismatch, .span = stmt.span, .message = fmt::format("{} returns {} here and {} elsewhere", here_in.function->name, describe(value.type.kind), describe(here_in.value.type.kind))});
      broken_ = true;
    } else if (!here_in.has_value || here_in.value.type.open()) {
      here_in.value.type = value.type;
      here_in.value.type.bits = 64;
    }
    here_in.has_value = true;
    if (!value.type.open()) {
      if (value.type.textual()) emit(Opcode::move_text, here_in.value.slot, text(value));
      else emit(Opcode::move, here_in.value.reg, number(value));
    }
  }
  inlined_[at].returns.push_back(emit(Opcode::jump));
  left_ = true;
}

void Compiler::expression_statement(const Stmt& stmt) {
  if (stmt.a == ExprId::none) {
    broken_ = true;
    return;
  }
  const Expr& expr = script_.at(stmt.a);
  const auto value = expression(stmt.a);
  if (value.type.is(TypeKind::nothing) || value.type.is(TypeKind::error)) return;
  if (value.type.is(TypeKind::aggregation)) {
    (void)rvalue(value);
    return;
  }
  if (expr.kind == Expr::Kind::call && functions_.contains(expr.text)) return;  // for its effects
  if (expr.kind == Expr::Kind::bad) return;
  if (value.type.is(TypeKind::group) || value.type.is(TypeKind::output) || value.type.is(TypeKind::pattern)) {
    (void)rvalue(value);
    return;
  }
  Diagnostic diagnostic{.code = Code::no_effect, .span = stmt.span, .message = fmt::format("{} is computed and thrown away", quote(stmt.span))};
  if (expr.kind == Expr::Kind::binary && expr.op == Op::eq) {
    diagnostic.message = "`==` compares; this does nothing";
    diagnostic.fix = Fix{expr.name_span, "=", "write = to assign"};
  }
  tell(std::move(diagnostic));
}

}  // namespace vitrine::vmipl
