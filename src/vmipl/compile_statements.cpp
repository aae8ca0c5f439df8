// Statements.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/habits.h"
#include "vmipl/operands.h"

namespace vitrine::vmipl {

void Compiler::block(const std::vector<StmtId>& body) {
  Scope scope(*this);
  bool warned = false;
  for (const auto id : body) {
    if (full_) break;  // told; the rest says nothing more
    const auto& stmt = script_.at(id);
    if (left_ && !warned && stmt.kind != Stmt::Kind::bad) {
      tell({.code = Code::unreachable,
            .span = stmt.span,
            .message = "this is never reached: what stands before always leaves"});
      warned = true;
    }
    statement(stmt);
  }
}

void Compiler::statement(const Stmt& stmt) {
  if (spent(stmt.span)) return;
  if (stmt.kind == Stmt::Kind::let) return let(stmt);
  Scope scope(*this);
  switch (stmt.kind) {
    case Stmt::Kind::bad:
      broken_ = true;
      break;
    case Stmt::Kind::expression:
      expression_statement(stmt);
      break;
    case Stmt::Kind::let:
      break;
    case Stmt::Kind::assign:
      assign(stmt);
      break;
    case Stmt::Kind::if_:
      if_(stmt);
      break;
    case Stmt::Kind::for_range:
      for_range(stmt);
      break;
    case Stmt::Kind::for_view:
      for_view(stmt);
      break;
    case Stmt::Kind::block:
      block(stmt.body);
      break;
    case Stmt::Kind::filter:
      filter(stmt);
      break;
    case Stmt::Kind::return_:
      return_(stmt);
      break;
    case Stmt::Kind::break_:
    case Stmt::Kind::continue_: {
      const bool leaves = stmt.kind == Stmt::Kind::break_;
      if (loops_.empty()) {
        tell(
            {.code = Code::outside_loop,
             .span = stmt.span,
             .message = fmt::format("`{}` stands outside of a loop", leaves ? "break" : "continue"),
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
  } else if (!name.starts_with('_'))
    declared_.try_emplace(local.span.begin, local.span, unused);
  else
    declared_.erase(local.span.begin);
  for (std::size_t i = locals_.size(); i > floor_; --i) {
    if (locals_[i - 1].name != name) continue;
    tell({.code = Code::shadowing,
          .span = local.span,
          .message = fmt::format("{} hides another {}", name, name),
          .notes = {{locals_[i - 1].span, "this one"}}});
    locals_.push_back(std::move(local));
    return;
  }
  if (constants_.contains(name)) {
    tell({.code = Code::shadowing,
          .span = local.span,
          .message = fmt::format("{} hides the constant {}", name, name),
          .notes = {{constants_.find(name)->second->name_span, "this one"}}});
  } else if (find_moment("", name) != nullptr || is_moment_group(name) || name == "event" ||
             name == "reg" || name == "phys") {
    tell({.code = Code::shadowing,
          .span = local.span,
          .message = fmt::format("{} hides the language's own {}", name, name),
          .hint = "give it another name"});
  }
  locals_.push_back(std::move(local));
}

void Compiler::let(const Stmt& stmt) {
  if (stmt.a == ExprId::none) {
    // Told by the parser. It is declared all the same: its uses are no mistakes of their own.
    broken_ = true;
    used_.insert(stmt.name_span.begin);
    if (!stmt.name.empty())
      declare_local({stmt.name, stmt.name_span, unknown(stmt.name_span)}, Code::count_);
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
      if (textual)
        emit(Opcode::move_text, text_reg, text(value));
      else
        emit(Opcode::move, number_reg, number(value));
    }
  }
  if (textual)
    --next_number_;
  else
    --next_text_;
  Value held = result(value.type, stmt.name_span, textual ? text_reg : number_reg);
  if (held.type.is(TypeKind::integer) && value.constant && value.number <= INT64_MAX)
    held.type.is_signed = true;
  held.type.bits = 64;
  held.argument = value.argument;
  if (full_) {
    // Told already; a script of a hundred thousand variables is not looked through for each.
    undeclared_.insert(stmt.name);
    return;
  }
  for (std::size_t i = locals_.size(); i > floor_; --i) {
    // In the same block it is a slip, not a shadow.
    if (locals_[i - 1].name == stmt.name && locals_[i - 1].span.begin == stmt.name_span.begin)
      return;
  }
  declare_local({stmt.name, stmt.name_span, held, textual}, Code::unused_let);
}

Value Compiler::condition(ExprId id, bool told) {
  auto value = expression(id);
  const bool literal = value.literal;
  value = rvalue(std::move(value));
  const Span span = value.span;
  if (value.type.open()) return value;
  if (value.type.textual()) {
    return mistake({.code = Code::not_a_condition,
                    .span = span,
                    .message = fmt::format("{} is {}: it is neither true nor false", quote(span),
                                           describe(value.type.kind)),
                    .hint = fmt::format("compare it: {} != \"\"", source_.text(span))});
  }
  if (!value.type.numeric()) {
    return mistake({.code = Code::not_a_condition,
                    .span = span,
                    .message = fmt::format("{} is {}: it is neither true nor false", quote(span),
                                           describe(value.type.kind))});
  }
  if (value.is_symbol) {
    if (told)
      tell({.code = Code::always_true,
            .span = span,
            .message = fmt::format("{} is an address: it is always true", quote(span)),
            .hint = fmt::format("its value in memory: u64({})", source_.text(span))});
    return boolean(true, span);
  }
  if (value.constant) {
    const bool truth = value.number != 0;
    // Of a number that stands alone beside && or || that was told.
    const Expr& expr = script_.at(id);
    const bool logic =
        expr.kind == Expr::Kind::binary && (expr.op == Op::logic_and || expr.op == Op::logic_or);
    const bool alone = logic && (script_.at(expr.a).kind == Expr::Kind::integer ||
                                 script_.at(expr.b).kind == Expr::Kind::integer);
    if (told && !alone && !(literal && value.type.is(TypeKind::boolean))) {
      tell({.code = truth ? Code::always_true : Code::always_false,
            .span = span,
            .message = fmt::format("this is always {}", truth)});
    }
    auto folded = boolean(truth, span);
    folded.typed = value.typed;
    return folded;
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

void Compiler::filter(const Stmt& stmt) {
  const Expr& expr = script_.at(stmt.a);
  const auto* probe = find_probe(expr.text);
  if (probe == nullptr || probe->kind != ProbeKind::filter) {
    if (probe == nullptr) {
      // Told by the parser where it was PascalCase.
      if (expr.text.front() >= 'a') {
        Diagnostic diagnostic{.code = Code::unknown_function,
                              .span = expr.name_span,
                              .message = fmt::format("{} has no block", expr.text),
                              .hint = "a condition is written: if (...) { ... }"};
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
      left = result(Type{.kind = TypeKind::integer, .is_signed = false},
                    script_.at(expr.args[0]).span, to);
    } else {
      auto address = address_expression(expr.args[0]);
      good = want_address(address, "an address");
      const auto to = new_number();
      if (good && !address.type.open())
        emit(Opcode::read, to, number(address), 8, pool(std::uint64_t{0}));
      left = result(Type{.kind = TypeKind::integer, .is_signed = false},
                    script_.at(expr.args[0]).span, to);
    }
    auto value = rvalue(expr.args[1]);
    good = want_number(value, "the value to compare with") && good;
    if (good && !value.type.open()) {
      const auto same = new_number();
      emit(Opcode::eq, same, number(left), number(value));
      jump = emit(Opcode::jump_unless, 0, same);
    }
  }
  if (stmt.body.empty())
    tell({.code = Code::empty_block,
          .span = stmt.span,
          .message = fmt::format("{} gates nothing", expr.text)});
  const bool before = left_;
  block(stmt.body);
  left_ = before;
  patch(jump);
}

void Compiler::return_(const Stmt& stmt) {
  if (inlined_.empty()) {
    if (stmt.a != ExprId::none) {
      tell({.code = Code::wrong_use,
            .span = stmt.span,
            .message = "a probe returns nothing",
            .hint = "`return` alone ends the firing; functions (fn) return values"});
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
    auto& given = here_in.value;
    if (here_in.has_value && !fits(given.type, value.type)) {
      tell({.code = Code::type_mismatch,
            .span = stmt.span,
            .message = fmt::format("{} returns {} here and {} elsewhere", here_in.function->name,
                                   described(value.type), described(given.type))});
      broken_ = true;
    } else if (!here_in.has_value || given.type.open()) {
      given.type = value.type;
      given.type.bits = 64;
      given.literal = flexible(value);
    } else if (given.type.is(TypeKind::integer) && !flexible(value)) {
      // As of the two ways of a conditional.
      given.type.is_signed = value.type.is_signed || (given.type.is_signed && !given.literal);
      given.literal = false;
    }
    here_in.has_value = true;
    if (!value.type.open()) {
      if (value.type.textual())
        emit(Opcode::move_text, here_in.value.slot, text(value));
      else
        emit(Opcode::move, here_in.value.reg, number(value));
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
  // A lone name is no symbol that is meant, but a word of another language, or a slip.
  bare_statement_ = expr.kind == Expr::Kind::name;
  const auto value = expression(stmt.a);
  bare_statement_ = false;
  if (value.type.is(TypeKind::nothing) || value.type.is(TypeKind::error)) return;
  if (value.type.is(TypeKind::aggregation)) {
    (void)rvalue(value);
    return;
  }
  if (expr.kind == Expr::Kind::call && functions_.contains(expr.text)) return;  // for its effects
  if (expr.kind == Expr::Kind::bad) return;
  if (value.type.is(TypeKind::group) || value.type.is(TypeKind::output) ||
      value.type.is(TypeKind::pattern)) {
    (void)rvalue(value);
    return;
  }
  Diagnostic diagnostic{.code = Code::no_effect,
                        .span = stmt.span,
                        .message = fmt::format("{} is computed and thrown away", quote(stmt.span))};
  if (expr.kind == Expr::Kind::binary && expr.op == Op::eq) {
    diagnostic.message = "`==` compares; this does nothing";
    const Expr& target = script_.at(expr.a);
    const bool variable =
        target.kind == Expr::Kind::map ||
        (target.kind == Expr::Kind::name &&
         std::any_of(locals_.begin() + static_cast<std::ptrdiff_t>(floor_), locals_.end(),
                     [&](const Local& local) {
                       return local.name == target.text && !local.value.type.is(TypeKind::row);
                     }));
    if (variable) diagnostic.fix = Fix{expr.name_span, "=", "write = to assign"};
  }
  tell(std::move(diagnostic));
}

}  // namespace vitrine::vmipl
