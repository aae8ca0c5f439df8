#include <fmt/format.h>

#include <array>

#include "vmipl/habits.h"
#include "vmipl/parser_state.h"

namespace vitrine::vmipl {

bool Parser::block(std::vector<StmtId>& into, std::string_view of) {
  const Token open = token_;
  if (!expect(TokenKind::left_brace, fmt::format("`{{` and what {} does", of),
              LaidToken::block_open))
    return false;
  Nest nest(*this);
  if (!nest) {
    // Too deep: skip to the matching brace without recursion.
    for (unsigned depth = 1; !is(TokenKind::end) && depth > 0; take()) {
      if (is(TokenKind::left_brace)) ++depth;
      if (is(TokenKind::right_brace)) --depth;
      token_.problem = 0;
    }
    lost_ = false;
    return false;
  }
  while (!is(TokenKind::right_brace) && !is(TokenKind::end)) {
    const auto before = token_.span.begin;
    statement(into);
    if (lost_) recover_statement();
    if (token_.span.begin == before && !is(TokenKind::right_brace) && !is(TokenKind::end))
      take();  // always on
  }
  return close(TokenKind::right_brace, open, LaidToken::block_close);
}

void Parser::body(std::vector<StmtId>& into) {
  if (is(TokenKind::left_brace)) {
    block(into, "it");
    return;
  }
  Nest nest(*this);
  if (!nest) return;
  if (is(TokenKind::semicolon) || is(TokenKind::right_brace) || is(TokenKind::end)) {
    fail_here("`{` or a statement");
    return;
  }
  statement(into);
}

bool Parser::foreign_statement(std::vector<StmtId>& into) {
  using Before = StatementHabit::Before;
  for (const auto& habit : statement_habits()) {
    if (word() != habit.word) continue;
    const auto next = lexer_.peek().kind;
    const bool fits = habit.before == Before::call ? next == TokenKind::left_paren
                      : habit.before == Before::arrow
                          ? next == TokenKind::arrow
                          : next == TokenKind::left_brace || next == TokenKind::name;
    if (!fits) return false;
    Diagnostic diagnostic{.code = Code::foreign_syntax,
                          .span = token_.span,
                          .message = std::string(habit.why),
                          .hint = std::string(habit.hint)};
    if (!habit.ours.empty())
      diagnostic.fix =
          Fix{token_.span, std::string(habit.ours), fmt::format("write {}", habit.ours)};
    const bool known = lost_;
    fail(std::move(diagnostic));
    if (habit.ours == "let" && !known) {
      lost_ = false;
      into.push_back(let());  // read on: the variable is there
    }
    return true;
  }
  return false;
}

void Parser::foreign_comment() {
  const auto line = source_.line_of(token_.span.begin);
  const Span sign{token_.span.begin, token_.span.begin + 1};
  fail({.code = Code::foreign_syntax,
        .span = sign,
        .message = "a comment begins with `//`",
        .fix = Fix{sign, "//", "write //"}});
  while (!is(TokenKind::end) && source_.line_of(token_.span.begin) == line) {
    token_.problem = 0;
    take();
  }
  lost_ = false;
}

void Parser::statement(std::vector<StmtId>& into) {
  mark_statement();
  if (accept(TokenKind::semicolon)) return;
  if (is(TokenKind::left_brace)) {
    Stmt stmt{.kind = Stmt::Kind::block, .span = token_.span};
    block(stmt.body, "the block");
    stmt.span = stmt.span.to(last_);
    into.push_back(add(std::move(stmt)));
    return;
  }
  if (is(TokenKind::right_paren) || is(TokenKind::right_bracket)) {
    fail({.code = Code::stray_close,
          .span = token_.span,
          .message = fmt::format("there is nothing open that this `{}` closes", word())});
    take();
    return;
  }
  if (is(TokenKind::channel) || (is(TokenKind::bad) && word() == "#")) return foreign_comment();
  if (is(TokenKind::name)) {
    const auto text = word();
    const Span span = token_.span;
    if (text == "let") return into.push_back(let());
    if (text == "if") return into.push_back(if_statement());
    if (text == "for") return into.push_back(for_statement());
    if (text == "return" || text == "break" || text == "continue") {
      Stmt stmt{.kind = text == "return"  ? Stmt::Kind::return_
                        : text == "break" ? Stmt::Kind::break_
                                          : Stmt::Kind::continue_,
                .span = span};
      take();
      // A value stands on the same line: newlines are free, and `return` alone is common.
      if (stmt.kind == Stmt::Kind::return_ && !token_.first_on_line && !is(TokenKind::semicolon) &&
          !is(TokenKind::right_brace) && !is(TokenKind::end)) {
        stmt.a = expression();
        stmt.span = stmt.span.to(last_);
      }
      into.push_back(add(std::move(stmt)));
      accept(TokenKind::semicolon);
      return;
    }
    if (text == "else") {
      fail({.code = Code::unexpected, .span = span, .message = "this `else` has no `if`"});
      return;
    }
    if (text == "const" || text == "fn" || text == "Symptom" || text == "Configuration") {
      const bool constant = text == "const";
      fail({.code = Code::misplaced,
            .span = span,
            .message = fmt::format("`{}` stands at the top of a script", text),
            .fix = constant ? std::optional<Fix>(Fix{span, "let", "write let"}) : std::nullopt});
      return;
    }
    if (foreign_statement(into)) return;
    const auto* probe = find_probe(text);
    if (probe != nullptr && (probe->kind == ProbeKind::event || probe->kind == ProbeKind::stream) &&
        text != "Stop") {
      fail({.code = Code::misplaced,
            .span = span,
            .message =
                fmt::format("{} is {} probe: it stands at the top of a script, not in a block",
                            text, probe->kind == ProbeKind::event ? "an event" : "a stream")});
      return;
    }
  }
  into.push_back(simple());
  accept(TokenKind::semicolon);
}

StmtId Parser::let() {
  Stmt stmt{.kind = Stmt::Kind::let, .span = token_.span};
  take();
  if (is(TokenKind::name) && lexer_.peek().kind == TokenKind::name) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a variable's type is that of its value: it is not written"});
  }
  stmt.name_span = token_.span;
  stmt.name = std::string(word());
  if (expect(TokenKind::name, "the variable's name") &&
      expect(TokenKind::assign, "`=` and a value"))
    stmt.a = expression();
  stmt.span = stmt.span.to(last_);
  accept(TokenKind::semicolon);
  return add(std::move(stmt));
}

/// An assignment where a value stands: told, and read to its end. @returns false  there is none
bool Parser::assigns_by_mistake(std::string_view message) {
  if (!is(TokenKind::assign) || lost_) return false;
  fail({.code = Code::assignment_in_condition,
        .span = token_.span,
        .message = std::string(message),
        .fix = Fix{token_.span, "==", "write =="}});
  take();
  lost_ = false;
  (void)expression();
  return true;
}

/// What stands in the parentheses of a predicate or an `if`, which `open` opened.
ExprId Parser::condition(const Token& open) {
  const auto judged = expression();
  // It is not known what was meant.
  return assigns_by_mistake("`=` assigns; a comparison is `==`") ? bad(open.span) : judged;
}

StmtId Parser::if_statement() {
  Stmt stmt{.kind = Stmt::Kind::if_, .span = token_.span};
  take();
  const Token open = token_;
  const bool bare =
      (is(TokenKind::name) || is(TokenKind::map) || is(TokenKind::bang)) && !token_.first_on_line;
  if (bare) {
    stmt.a = expression();
    const Span written = open.span.to(last_);
    if (!lost_) {
      fail({.code = Code::foreign_syntax,
            .span = written,
            .message = "a condition stands in parentheses",
            .fix = Fix{written, fmt::format("({})", source_.text(written)), "write if (...)"}});
      lost_ = false;
    }
  } else if (!expect(TokenKind::left_paren, "`(` and a condition", LaidToken::head_paren)) {
    return add(std::move(stmt));
  } else {
    stmt.a = condition(open);
  }
  if (bare ? lost_ : !close(TokenKind::right_paren, open, LaidToken::head_close)) {
    // Read the block all the same, if one follows on this line.
    skip_to_block();
    if (!is(TokenKind::left_brace)) return add(std::move(stmt));
    lost_ = false;
  }
  body(stmt.body);
  if (!lost_ && (is_word("elif") || is_word("elsif") || is_word("elseif")) &&
      lexer_.peek().kind == TokenKind::left_paren) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "another condition is written `else if (...)`",
          .fix = Fix{token_.span, "else if", "write else if"}});
    lost_ = false;
    Nest nest(*this);
    if (!nest) return add(std::move(stmt));
    stmt.has_else = true;
    stmt.other.push_back(if_statement());
  } else if (!lost_ && is_word("else")) {
    take();
    stmt.has_else = true;
    body(stmt.other);
  }
  stmt.span = stmt.span.to(last_);
  return add(std::move(stmt));
}

StmtId Parser::for_statement() {
  Stmt stmt{.kind = Stmt::Kind::for_view, .span = token_.span};
  take();
  const Token open = token_;
  if (!expect(TokenKind::left_paren, "`(`: for (row in view), for (i in 0..10)",
              LaidToken::head_paren))
    return add(std::move(stmt));
  stmt.name_span = token_.span;
  stmt.name = std::string(word());
  if (!expect(TokenKind::name, "the name of the row or number")) return add(std::move(stmt));
  if (is(TokenKind::colon)) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a loop is written `for (x in ...)`",
          .fix = Fix{token_.span, " in", "write in"}});
    lost_ = false;
    take();
  } else if (is(TokenKind::assign) || is(TokenKind::name) ? !is_word("in") : false) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a loop is written `for (i in 0..10)`, up to but not including 10",
          .expected = "`in`"});
    skip_to_block();
    if (is(TokenKind::left_brace)) {
      lost_ = false;
      std::vector<StmtId> ignored;
      block(ignored, "it");
    }
    stmt.kind = Stmt::Kind::bad;
    return add(std::move(stmt));
  } else if (is_word("in")) {
    take();
  } else {
    fail_here("`in`");
    return add(std::move(stmt));
  }
  const Token first = token_;
  const auto from = binary(1);
  if (accept(TokenKind::range)) {
    stmt.kind = Stmt::Kind::for_range;
    stmt.a = from;
    stmt.b = binary(1);
  } else if (at(from).kind == Expr::Kind::name && !at(from).parenthesized) {
    stmt.view = at(from).text;
    stmt.view_span = at(from).span;
  } else if (!lost_) {
    fail({.code = Code::unexpected,
          .span = at(from).kind == Expr::Kind::bad ? first.span : at(from).span,
          .message = "a loop goes over a view or a range",
          .expected = "a view's name, or a..b"});
    lost_ = false;
    stmt.kind = Stmt::Kind::for_range;
    stmt.a = stmt.b = bad(first.span);
  }
  if (!lost_ && (is_word("where") || is_word("if") || is_word("when") || is_word("WHERE"))) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a loop takes every row; which ones matter is said within it",
          .hint = fmt::format("for ({} in {}) if (...) {{ ... }}", stmt.name,
                              stmt.kind == Stmt::Kind::for_view ? stmt.view : "a..b")});
    lost_ = false;
    take();
    // Its condition counts as that `if`.
    Stmt inner{.kind = Stmt::Kind::if_, .span = token_.span};
    inner.a = expression();
    if (!close(TokenKind::right_paren, open, LaidToken::head_close)) return add(std::move(stmt));
    body(inner.body);
    stmt.body.push_back(add(std::move(inner)));
    stmt.span = stmt.span.to(last_);
    return add(std::move(stmt));
  }
  if (!close(TokenKind::right_paren, open, LaidToken::head_close)) return add(std::move(stmt));
  body(stmt.body);
  stmt.span = stmt.span.to(last_);
  return add(std::move(stmt));
}

StmtId Parser::simple() {
  Stmt stmt{.kind = Stmt::Kind::expression, .span = token_.span};
  if (is(TokenKind::increment) || is(TokenKind::decrement)) {
    const auto sign = std::string(word());
    fail({.code = Code::unexpected,
          .span = token_.span,
          .message = fmt::format("`{}` stands after what it changes", sign),
          .expected = fmt::format("@map{} or variable{}", sign, sign)});
    stmt.kind = Stmt::Kind::bad;
    return add(std::move(stmt));
  }
  stmt.a = expression();
  constexpr std::array<std::pair<TokenKind, Op>, 11> kAssignments{
      {{TokenKind::assign, Op::none},
       {TokenKind::add_assign, Op::add},
       {TokenKind::sub_assign, Op::sub},
       {TokenKind::mul_assign, Op::mul},
       {TokenKind::div_assign, Op::div},
       {TokenKind::rem_assign, Op::rem},
       {TokenKind::and_assign, Op::bit_and},
       {TokenKind::or_assign, Op::bit_or},
       {TokenKind::xor_assign, Op::bit_xor},
       {TokenKind::shl_assign, Op::shl},
       {TokenKind::shr_assign, Op::shr}}};
  for (const auto& [kind, op] : kAssignments) {
    if (!is(kind) || lost_) continue;
    take();
    stmt.kind = Stmt::Kind::assign;
    stmt.op = op;
    stmt.b = expression();
  }
  if (!lost_ && (is(TokenKind::increment) || is(TokenKind::decrement)) &&
      stmt.kind == Stmt::Kind::expression) {
    stmt.kind = Stmt::Kind::assign;
    stmt.op = is(TokenKind::increment) ? Op::add : Op::sub;
    stmt.step = true;
    const Span sign = token_.span;
    take(LaidToken::glued);
    stmt.b = add(Expr{.kind = Expr::Kind::integer, .span = sign, .value = 1});
  }
  stmt.span = stmt.span.to(last_);
  if (lost_) return add(std::move(stmt));

  const Expr& call = at(stmt.a);
  const bool is_call = stmt.kind == Stmt::Kind::expression && call.kind == Expr::Kind::call;
  if (is(TokenKind::left_brace) && is_call) {
    const auto* probe = find_probe(call.text);
    if (probe != nullptr && probe->kind != ProbeKind::filter) {
      fail({.code = Code::wrong_use,
            .span = token_.span,
            .message = fmt::format("{} has no block", call.text)});
      lost_ = false;
    }
    stmt.kind = Stmt::Kind::filter;
    const auto name = call.text;
    block(stmt.body, name);
    stmt.span = stmt.span.to(last_);
    return add(std::move(stmt));
  }
  // Two statements need a newline or a semicolon between them only to be read by people; but
  // a name after a name is most often a mistake.
  if (!token_.first_on_line &&
      (is(TokenKind::integer) || is(TokenKind::string) || is(TokenKind::duration) ||
       is(TokenKind::bad) || is(TokenKind::colon) || is(TokenKind::comma) ||
       is(TokenKind::right_paren) || is(TokenKind::right_bracket) || is(TokenKind::range))) {
    if (is(TokenKind::right_paren) || is(TokenKind::right_bracket)) {
      fail({.code = Code::stray_close,
            .span = token_.span,
            .message = fmt::format("there is nothing open that this `{}` closes", word())});
    } else {
      fail_here("a new statement");
    }
  }
  return add(std::move(stmt));
}

}  // namespace vitrine::vmipl
