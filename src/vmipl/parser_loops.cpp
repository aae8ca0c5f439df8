// for: over a view's rows, over a range.
#include <fmt/format.h>

#include "vmipl/parser_state.h"

namespace vitrine::vmipl {

StmtId Parser::for_statement() {
  Stmt stmt{.kind = Stmt::Kind::for_view, .span = token_.span};
  take();
  const Token open = token_;
  if (is(TokenKind::name) && !token_.first_on_line && lexer_.peek().kind == TokenKind::name) {
    const auto line = source_.line_span(source_.line_of(open.span.begin));
    const auto head = source_.text({open.span.begin, line.end});
    const auto length = std::min(head.find_last_not_of(" {\t\r\n"), head.size() - 1) + 1;
    const Span written{open.span.begin, open.span.begin + static_cast<std::uint32_t>(
                                                              std::min(length, head.find(" {")))};
    fail({.code = Code::foreign_syntax,
          .span = written,
          .message = "a loop's head stands in parentheses",
          .fix = Fix{written, fmt::format("({})", source_.text(written)), "write for (...)"}});
    stmt.kind = Stmt::Kind::bad;
    return skip_loop(std::move(stmt));
  }
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
    return skip_loop(std::move(stmt));
  } else if (is(TokenKind::comma)) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a loop goes over views and ranges, not over maps",
          .hint = "print(@map) prints a map, print(@map, 10) its ten greatest entries"});
    return skip_loop(std::move(stmt));
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
    if (is(TokenKind::dot) || is(TokenKind::assign)) {  // 0...10, 0..=10
      const bool counts_last = is(TokenKind::assign);
      const Span sign{last_.begin, token_.span.end};
      fail({.code = Code::foreign_syntax,
            .span = sign,
            .message = "a range is written a..b, up to but not including b",
            .hint = counts_last ? "to the last of them: a..b + 1" : "",
            .fix = counts_last ? std::nullopt : std::optional(Fix{sign, "..", "write .."})});
      lost_ = false;
      take();
    }
    stmt.b = binary(1);
  } else if (at(from).kind == Expr::Kind::name && !at(from).parenthesized) {
    stmt.view = at(from).text;
    stmt.view_span = at(from).span;
  } else if (!lost_) {
    const Expr& over = at(from);
    Diagnostic diagnostic{.code = Code::unexpected,
                          .span = over.kind == Expr::Kind::bad ? first.span : over.span,
                          .message = "a loop goes over a view or a range",
                          .expected = "a view's name, or a..b"};
    const auto range_to = [&](Span to) {
      const auto ours = fmt::format("0..{}", source_.text(to));
      diagnostic.fix = Fix{over.span, ours, fmt::format("write {}", ours)};
    };
    if (over.kind == Expr::Kind::map)
      diagnostic.hint = "print(@map) prints a map, print(@map, 10) its ten greatest entries";
    else if (over.kind == Expr::Kind::integer)
      range_to(over.span);
    else if (over.kind == Expr::Kind::call && over.text == "range" && over.args.size() == 1)
      range_to(at(over.args[0]).span);
    fail(std::move(diagnostic));
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
  if (!lost_ && (is_word("order") || is_word("ORDER") || is_word("limit") || is_word("LIMIT") ||
                 is_word("group") || is_word("GROUP"))) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "rows come in the view's own order, all of them",
          .hint = "the greatest: @m[row.name] = row.rss, then print(@m, 10); groups: @m[row.uid] = "
                  "count()"});
    return skip_loop(std::move(stmt));
  }
  if (!close(TokenKind::right_paren, open, LaidToken::head_close)) return add(std::move(stmt));
  body(stmt.body);
  stmt.span = stmt.span.to(last_);
  return add(std::move(stmt));
}

/// After a head that cannot be understood: its block is passed over.
StmtId Parser::skip_loop(Stmt stmt) {
  skip_to_block();
  if (is(TokenKind::left_brace)) {
    lost_ = false;
    std::vector<StmtId> ignored;
    block(ignored, "it");
  }
  stmt.kind = Stmt::Kind::bad;
  return add(std::move(stmt));
}

}  // namespace vitrine::vmipl
