#include <fmt/format.h>

#include <array>

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
  if ((is_word("then") || is_word("do")) && !lost_) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "what is done stands in a block, or is one statement",
          .fix = Fix{token_.span, "", fmt::format("remove {}", word())}});
    lost_ = false;
    take();
  }
  if (is(TokenKind::semicolon) || is(TokenKind::right_brace) || is(TokenKind::end)) {
    fail_here("`{` or a statement");
    return;
  }
  statement(into);
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
    if (text == "let") return let(into);
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
      if (constant) {
        lost_ = false;
        let(into);  // read on: the variable is there
      }
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

void Parser::let(std::vector<StmtId>& into) {
  while (variable(into)) {
  }
}

bool Parser::variable(std::vector<StmtId>& into) {
  Stmt stmt{.kind = Stmt::Kind::let, .span = token_.span};
  take();  // `let`, or the comma that stands for it
  if (is(TokenKind::name) && lexer_.peek().kind == TokenKind::name) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a variable's type is that of its value: it is not written"});
  }
  stmt.name_span = token_.span;
  stmt.name = std::string(word());
  if (!new_name("the variable's name")) {
    into.push_back(add(std::move(stmt)));
    return false;
  }
  if (is(TokenKind::colon)) written_type(TokenKind::assign);
  if (is(TokenKind::semicolon)) {
    fail({.code = Code::unexpected,
          .span = stmt.name_span,
          .message = "a variable begins with a value",
          .fix = Fix{stmt.name_span, fmt::format("{} = 0", stmt.name),
                     fmt::format("write {} = 0, or what it is at first", stmt.name)}});
    lost_ = false;
  } else if (expect(TokenKind::assign, "`=` and a value")) {
    stmt.a = expression();
    if (!lost_ && is(TokenKind::comma) && lexer_.peek().kind == TokenKind::name) {
      // let a = 1, b = 2: read on as if the comma were the next `let`.
      fail({.code = Code::unexpected,
            .span = token_.span,
            .message = "each variable has a `let` of its own",
            .fix = Fix{token_.span, "; let", "write ; let"}});
      lost_ = false;
      stmt.span = stmt.span.to(last_);
      into.push_back(add(std::move(stmt)));
      return true;
    }
    if (!lost_ && (is(TokenKind::assign) || is(TokenKind::comma))) {
      fail({.code = Code::unexpected,
            .span = token_.span,
            .message = is(TokenKind::comma) ? "each variable has a `let` of its own"
                                            : "a `let` gives one variable its value"});
      stmt.a = bad(stmt.name_span);
    }
  }
  if (!lost_) stands_apart();
  stmt.span = stmt.span.to(last_);
  accept(TokenKind::semicolon);
  into.push_back(add(std::move(stmt)));
  return false;
}

/// A name that is being declared: none of the language's own words.
bool Parser::new_name(std::string_view what) {
  if (is(TokenKind::name) && is_keyword(word())) {
    fail({.code = Code::unexpected,
          .span = token_.span,
          .message =
              fmt::format("`{}` is a word of the language: nothing else is called so", word()),
          .expected = std::string(what)});
    return false;
  }
  constexpr std::size_t kLongest = 500;  // a symbol of the kernel has at most 511
  if (is(TokenKind::name) && word().size() > kLongest) {
    fail({.code = Code::too_many,
          .span = {token_.span.begin, token_.span.begin + 20},
          .message = fmt::format("this name has {} bytes; a name has at most {}", word().size(),
                                 kLongest)});
    return false;
  }
  return expect(TokenKind::name, what);
}

/// An assignment where a value stands: told, and read to its end. @returns false  there is none
bool Parser::assigns_by_mistake(std::string_view message) {
  if (!is(TokenKind::assign) || lost_) return false;
  if (const Token next = lexer_.peek();
      next.kind == TokenKind::tilde && next.span.begin == token_.span.end) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span.to(next.span),
          .message = std::string(kPatterns),
          .hint = "matches(text, \"/etc/*\")"});
    return true;
  }
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
  if (lost_) return bad(open.span);
  if (is(TokenKind::comma)) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "conditions go together by && and ||",
          .fix = Fix{token_.span, " &&", "write &&"}});
    lost_ = false;
    take();
    return condition(open);
  }
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
  if (is(TokenKind::colon) && !lost_ && at(stmt.a).kind == Expr::Kind::name &&
      lexer_.peek().kind == TokenKind::assign) {
    // a := 1: read on as the `let` that it is.
    const Span written = at(stmt.a).span.to(lexer_.peek().span);
    stmt.kind = Stmt::Kind::let;
    stmt.name = at(stmt.a).text;
    stmt.name_span = at(stmt.a).span;
    const auto ours = fmt::format("let {} =", stmt.name);
    fail({.code = Code::foreign_syntax,
          .span = written,
          .message = "a variable is declared with `let`",
          .fix = Fix{written, ours, fmt::format("write {}", ours)}});
    lost_ = false;
    take();
    take();
    stmt.a = expression();
    return add(std::move(stmt));
  }
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
    if (at(stmt.a).kind == Expr::Kind::map &&
        (is(TokenKind::left_brace) || is(TokenKind::left_bracket))) {
      fail({.code = Code::foreign_syntax,
            .span = token_.span,
            .message = "a map is filled entry by entry, and there without being declared",
            .hint = fmt::format("@{}[key] = value; clear(@{}) empties it", at(stmt.a).text,
                                at(stmt.a).text)});
      stmt.b = bad(token_.span);
      continue;
    }
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
  const auto* probe = is_call ? find_probe(call.text) : nullptr;
  const bool filters = probe != nullptr && probe->kind == ProbeKind::filter;
  // A block that begins a line is a filter's, or one of its own.
  if (is(TokenKind::left_brace) && is_call && (filters || !token_.first_on_line)) {
    if (probe != nullptr && !filters) {
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
  stands_apart();
  return add(std::move(stmt));
}

// Two statements need a newline or a semicolon between them only to be read by people; but
// a value after a value is most often a mistake.
void Parser::stands_apart() {
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
}

}  // namespace vitrine::vmipl
