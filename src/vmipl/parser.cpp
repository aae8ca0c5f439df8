#include "vmipl/parser.h"

#include <fmt/format.h>

#include "vmipl/parser_state.h"

namespace vitrine::vmipl {

std::string_view text(Op op) noexcept {
  constexpr std::string_view kTexts[] = {"",   "+",  "-",  "*",  "/",  "%", "&",  "|",
                                         "^",  "<<", ">>", "==", "!=", "<", "<=", ">",
                                         ">=", "&&", "||", "-",  "~",  "!", "&",  "*"};
  return kTexts[static_cast<std::size_t>(op)];
}

ParseResult parse(const Source& source, Diagnostics& diagnostics) {
  return Parser(source, diagnostics).run();
}

Parser::Parser(const Source& source, Diagnostics& diagnostics)
    : source_(source), diagnostics_(diagnostics), lexer_(source, diagnostics) {
  token_ = lexer_.next();
}

ParseResult Parser::run() {
  while (!is(TokenKind::end)) item(script_.top, false);
  return {std::move(script_), lexer_.allowances(), std::move(laid_)};
}

Token Parser::take(LaidToken::Role role) {
  const Token taken = token_;
  if (!lexer_.report(taken)) lost_ = torn_ = true;
  if (taken.kind != TokenKind::end) {
    laid_.push_back({taken.span, taken.kind, role, statement_next_, item_next_});
    statement_next_ = item_next_ = false;
    last_ = taken.span;
  }
  token_ = lexer_.next();
  return taken;
}

void Parser::mark_statement() { statement_next_ = true; }
void Parser::mark_item() { item_next_ = true; }

bool Parser::accept(TokenKind kind, LaidToken::Role role) {
  if (!is(kind)) return false;
  take(role);
  return true;
}

std::string Parser::found() const {
  if (is(TokenKind::end)) return "the end of the script";
  auto text = word();
  if (text.size() > 40) return fmt::format("`{}...`", text.substr(0, 37));
  return fmt::format("`{}`", text);
}

void Parser::fail(Diagnostic diagnostic) {
  if (!lost_) diagnostics_.add(std::move(diagnostic));
  lost_ = true;
}

void Parser::fail_here(std::string expected) {
  if (is(TokenKind::bad) && token_.problem != 0) {
    // The lexer knows better what is wrong here.
    if (!lost_ && !lexer_.report(token_)) torn_ = true;
    token_.problem = 0;
    lost_ = true;
    return;
  }
  Span span = token_.span;
  if (is(TokenKind::end) || (token_.first_on_line && last_.end > 0)) {
    // What is missing is missing after the last token, not at the start of some later line.
    span = {last_.end, last_.end};
    if (is(TokenKind::end)) span = {last_.begin, last_.end};
  }
  fail({.code = Code::unexpected,
        .span = span,
        .message = fmt::format("expected {}, found {}", expected, found())});
}

bool Parser::expect(TokenKind kind, std::string_view expected, LaidToken::Role role) {
  if (accept(kind, role)) return true;
  std::string words(expected);
  if (words.empty()) {
    words = describe(kind);
    if (words.find(' ') == std::string::npos) words = fmt::format("`{}`", words);
  }
  fail_here(std::move(words));
  return false;
}

std::size_t Parser::indentation(std::uint32_t offset) const {
  const auto line = source_.text(source_.line_span(source_.line_of(offset)));
  const auto first = line.find_first_not_of(" \t");
  return first == std::string_view::npos ? 0 : first;
}

void Parser::skip_to_block() {
  while (!is(TokenKind::end) && !is(TokenKind::left_brace) && !is(TokenKind::right_brace) &&
         !token_.first_on_line) {
    token_.problem = 0;
    take();
  }
}

bool Parser::close(TokenKind kind, const Token& open, LaidToken::Role role) {
  if (is(kind) && kind == TokenKind::right_brace && token_.first_on_line && suspect_.empty() &&
      indentation(token_.span.begin) < indentation(open.span.begin)) {
    suspect_ = open.span;
  }
  if (accept(kind, role)) return true;
  if (lost_) return false;
  if (is(TokenKind::bad) && token_.problem != 0) {
    fail_here({});
    return false;
  }
  const auto sign = describe(kind);
  const bool gone = is(TokenKind::end) || is(TokenKind::right_brace) || is(TokenKind::left_brace) ||
                    is(TokenKind::right_paren) || is(TokenKind::right_bracket) ||
                    is(TokenKind::semicolon) || token_.first_on_line;
  if (gone && kind != TokenKind::right_brace) {
    fail({.code = Code::unclosed,
          .span = {last_.end, last_.end},
          .message = fmt::format("expected `{}`, found {}", sign, found()),
          .fix =
              Fix{{last_.end, last_.end}, std::string(sign), fmt::format("write `{}` here", sign)},
          .notes = {{open.span, fmt::format("this `{}` is not closed", word(open))}}});
  } else if (kind == TokenKind::right_brace && torn_) {
    lost_ = true;  // it may stand in the string that has no end, which is told
  } else if (kind == TokenKind::right_brace) {
    Diagnostic diagnostic{.code = Code::unclosed,
                          .span = open.span,
                          .message = fmt::format("this `{}` is never closed", word(open)),
                          .label = "opened here",
                          .expected = fmt::format("`{}` before {}", sign, found())};
    if (!suspect_.empty())
      diagnostic.notes.push_back({suspect_, "or this one: the `}` after it stands further left"});
    fail(std::move(diagnostic));
  } else {
    fail({.code = Code::unexpected,
          .span = token_.span,
          .message = fmt::format("expected `{}`{}, found {}", sign,
                                 kind == TokenKind::right_paren ? " or `,`" : "", found()),
          .notes = {{open.span, "opened here"}}});
  }
  return false;
}

ExprId Parser::add(Expr expr) {
  unsigned depth = 0;
  const auto deeper = [&](ExprId id) {
    if (id != ExprId::none) depth = std::max<unsigned>(depth, at(id).depth);
  };
  deeper(expr.a);
  deeper(expr.b);
  deeper(expr.c);
  for (const auto arg : expr.args) deeper(arg);
  if (depth >= kMaxDepth) {
    if (!hit_depth_) {
      fail({.code = Code::too_deep,
            .span = expr.span,
            .message = fmt::format("this expression is more than {} deep", kMaxDepth),
            .hint = "split it with `let`"});
      hit_depth_ = true;
    }
    lost_ = true;
    expr = Expr{.kind = Expr::Kind::bad, .span = expr.span};
    depth = 0;
  }
  expr.depth = static_cast<std::uint16_t>(depth + 1);
  script_.exprs.push_back(std::move(expr));
  return static_cast<ExprId>(script_.exprs.size() - 1);
}

Nest::Nest(Parser& parser) : parser_(parser), good_(++parser.depth_ <= kMaxDepth) {
  if (good_) return;
  if (!parser.hit_depth_) {
    parser.fail({.code = Code::too_deep,
                 .span = parser.token_.span,
                 .message = fmt::format("this is nested more than {} deep", kMaxDepth),
                 .hint = "split it with `let` or `fn`"});
    parser.hit_depth_ = true;
  }
  parser.lost_ = true;
}

// After a mistake inside a block: on to the next statement. A token that begins a line
// begins a statement, for that is how people write.
void Parser::recover_statement() {
  unsigned depth = 0;
  bool moved = false;
  while (!is(TokenKind::end)) {
    if (depth == 0) {
      if (is(TokenKind::right_brace)) break;
      if (is(TokenKind::semicolon)) {
        take();
        break;
      }
      if (moved && token_.first_on_line && (is(TokenKind::name) || is(TokenKind::map))) break;
    }
    if (is(TokenKind::left_brace)) ++depth;
    if (is(TokenKind::right_brace) && depth > 0) --depth;
    const auto saved = token_.problem;
    token_.problem = 0;  // what is skipped is not judged
    (void)saved;
    take();
    moved = true;
  }
  lost_ = false;
}

// On to something at the start of a line that looks like an item.
void Parser::recover_item() {
  unsigned depth = 0;
  while (!is(TokenKind::end)) {
    if (depth == 0 && token_.first_on_line && is(TokenKind::name)) {
      const char first = word().front();
      if ((first >= 'A' && first <= 'Z') || word() == "const" || word() == "fn") break;
    }
    if (is(TokenKind::left_brace)) ++depth;
    const bool closes = is(TokenKind::right_brace) && depth > 0;
    token_.problem = 0;
    take();
    if (closes && --depth == 0) break;
  }
  lost_ = false;
}

}  // namespace vitrine::vmipl
