// Loops over ranges and over the rows of views.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "vmipl/habits.h"
#include "vmipl/operands.h"

namespace vitrine::vmipl {

void Compiler::for_range(const Stmt& stmt) {
  auto from = rvalue(stmt.a);
  auto to = rvalue(stmt.b);
  const bool good =
      want_number(from, "where a range begins") & want_number(to, "where a range ends");
  // The numbers are compared, whatever their signs: 0..arg0 goes as far as arg0 is large.
  const bool from_signed = from.type.is_signed, to_signed = to.type.is_signed;
  const auto is_less = [&](std::uint64_t a, std::uint64_t b) {
    const bool negative_a = from_signed && as_signed(a) < 0;
    const bool negative_b = to_signed && as_signed(b) < 0;
    return negative_a != negative_b ? negative_a : a < b;
  };
  if (good && from.constant && to.constant && !is_less(from.number, to.number)) {
    tell({.code = Code::empty_range,
          .span = from.span.to(to.span),
          .message = fmt::format("this range is empty: it goes from {} up to, not including, {}",
                                 source_.text(from.span), source_.text(to.span))});
  }
  const auto counter = new_number();
  const auto more = new_number();
  std::uint8_t end = 0;
  if (good && !from.type.open()) emit(Opcode::move, counter, number(from));
  if (good && !to.type.open()) {
    end = number(to);
    if (!to.constant) {
      // Its own register: the body may assign to the variable that it was.
      const auto variable = std::exchange(end, new_number());
      emit(Opcode::move, end, variable);
    }
  }
  const bool is_unsigned = !from_signed && !to_signed;
  const auto top = here();
  emit(is_unsigned                ? Opcode::lt_u
       : from_signed && to_signed ? Opcode::lt_s
       : from_signed              ? Opcode::lt_su
                                  : Opcode::lt_us,
       more, counter, end);
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

/// What is done again and again adds up: rows are counted, without being looked at.
bool Compiler::adds_up(const std::vector<StmtId>& body) const {
  return std::ranges::any_of(body, [&](StmtId id) {
    const auto& stmt = script_.at(id);
    if (stmt.kind == Stmt::Kind::assign) {
      if (stmt.op != Op::none) return true;
      if (stmt.b == ExprId::none) return false;
      const Expr& value = script_.at(stmt.b);
      const auto* function = value.kind == Expr::Kind::call ? find_function(value.text) : nullptr;
      return function != nullptr && function->kind == FunctionKind::aggregate;
    }
    return adds_up(stmt.body) || adds_up(stmt.other);
  });
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
    Diagnostic diagnostic{.code = Code::unknown_view,
                          .span = stmt.view_span,
                          .message = fmt::format("there is no view called {}", stmt.view)};
    const auto meant = view_habit(stmt.view);
    suggest(diagnostic, nearest, stmt.view_span,
            !meant.empty() && views->columns(meant) ? meant : "");
    if (!diagnostic.fix) diagnostic.hint = "`vitrine views` lists them; a range is written 0..10";
    tell(std::move(diagnostic));
    broken_ = true;
    good = false;
  }
  if (views == nullptr) {
    // A name that is something else is certainly no view.
    bool local = false;
    for (std::size_t i = floor_; i < locals_.size(); ++i)
      local = local || locals_[i].name == stmt.view;
    if (local || constants_.contains(stmt.view)) {
      tell({.code = Code::unknown_view,
            .span = stmt.view_span,
            .message = fmt::format("{} is no view", stmt.view),
            .hint = fmt::format("to count: for ({} in 0..{})", stmt.name, stmt.view)});
      broken_ = true;
      good = false;
    }
    incomplete_ = true;
  }
  if (next_slot_ >= kMaxViewSlots) {
    tell({.code = Code::too_many,
          .span = stmt.span,
          .message = fmt::format("loops over views are nested at most {} deep", kMaxViewSlots)});
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
    declare_local({stmt.name, stmt.name_span, row, false},
                  adds_up(stmt.body) ? Code::count_ : Code::unused_row);
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

}  // namespace vitrine::vmipl
