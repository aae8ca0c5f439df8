// What people write out of habit from other languages: told, with what it is here, and read on as
// that where it is known.
#include <fmt/format.h>

#include <array>

#include "vmipl/habits.h"
#include "vmipl/parser_state.h"
#include "vmipl/word_pairs.h"

namespace vitrine::vmipl {
namespace {

/// Words that stand between two values elsewhere, and what is written here.
constexpr auto kInfixWords = std::to_array<Pair>({
    {"contains", "contains is a function: contains(text, part)"},
    {"startswith", "starts_with is a function: starts_with(text, part)"},
    {"starts_with", "starts_with is a function: starts_with(text, part)"},
    {"endswith", "ends_with is a function: ends_with(text, part)"},
    {"ends_with", "ends_with is a function: ends_with(text, part)"},
    {"matches", "matches is a function: matches(text, \"pattern*\")"},
    {"in", "each is compared: a == b || a == c"},
    {"IN", "each is compared: a == b || a == c"},
    {"is", "values are compared by ==; what could not be had is told by missing(value)"},
    {"IS", "values are compared by ==; what could not be had is told by missing(value)"},
    {"between", "both bounds are compared: low <= a && a <= high"},
    {"BETWEEN", "both bounds are compared: low <= a && a <= high"},
});

bool begins_value(TokenKind kind) {
  return kind == TokenKind::name || kind == TokenKind::string || kind == TokenKind::integer ||
         kind == TokenKind::map || kind == TokenKind::left_paren;
}

}  // namespace

// A probe as bpftrace or DTrace writes it: told what it is here, and its block read all the same.
bool Parser::foreign_item(std::vector<ItemId>& into) {
  if (!is(TokenKind::name) || find_probe(word()) != nullptr) return false;
  const auto next = lexer_.peek().kind;
  if (next != TokenKind::left_brace && next != TokenKind::colon && next != TokenKind::minus &&
      next != TokenKind::slash)
    return false;
  auto head = source_.text(source_.line_span(source_.line_of(token_.span.begin)));
  head.remove_prefix(token_.span.begin -
                     source_.line_span(source_.line_of(token_.span.begin)).begin);
  head = head.substr(0, std::min(head.find('{'), head.find(" /")));
  while (!head.empty() && (head.back() == ' ' || head.back() == '\t')) head.remove_suffix(1);
  auto habit = probe_habit(head);
  if (!habit) return false;
  const Span span{token_.span.begin, token_.span.begin + static_cast<std::uint32_t>(head.size())};
  Diagnostic diagnostic{
      .code = Code::foreign_syntax, .span = span, .message = std::string(habit->why)};
  if (!habit->written.empty())
    diagnostic.fix = Fix{span, habit->written, fmt::format("write {}", habit->written)};
  fail(std::move(diagnostic));
  Item item{.kind = Item::Kind::event,
            .span = span,
            .name_span = span,
            .name = std::string(habit->probe)};
  item.heads.push_back(
      {.span = span, .name_span = span, .name = std::string(habit->probe), .broken = true});
  while (!is(TokenKind::end) && token_.span.begin < span.end) {
    token_.problem = 0;
    take();
  }
  lost_ = false;
  predicate_and_block(std::move(item), false, into);
  return true;
}

// What gdb, SQL and C write at the top: told, and passed over.
bool Parser::foreign_line() {
  if (!is(TokenKind::name) || find_probe(word()) != nullptr) return false;
  const auto line = source_.line_span(source_.line_of(token_.span.begin));
  const auto habit = top_habit(source_.text({token_.span.begin, line.end}));
  if (!habit) return false;
  fail({.code = Code::foreign_syntax,
        .span = token_.span,
        .message = habit->why,
        .hint = habit->hint});
  // Its block, if it has one, is no item.
  take();
  skip_to_block();
  if (is(TokenKind::left_brace)) recover_item();
  lost_ = false;
  return true;
}

// `#define N 10`: told, and read as the constant that it is.
void Parser::foreign_define(std::vector<ItemId>& into) {
  const Token name = lexer_.peek();
  Diagnostic diagnostic{.code = Code::foreign_syntax,
                        .span = token_.span,
                        .message = "what is known before the start is declared with `const`",
                        .hint = "const NAME = value; fn name(x) = value"};
  take();
  Item item{.kind = Item::Kind::constant, .span = diagnostic.span, .name_span = token_.span};
  const bool plain = is(TokenKind::name) && !token_.first_on_line &&
                     lexer_.peek().kind != TokenKind::left_paren && !lexer_.peek().first_on_line &&
                     lexer_.peek().kind != TokenKind::end;
  if (plain) {
    item.name = std::string(word());
    const Span written = diagnostic.span.to(name.span);
    const auto ours = fmt::format("const {} =", item.name);
    diagnostic.hint.clear();
    diagnostic.fix = Fix{written, ours, fmt::format("write {}", ours)};
  }
  fail(std::move(diagnostic));
  lost_ = false;
  if (plain) {
    take();
    item.value = expression();
    item.span = item.span.to(last_);
    into.push_back(add(std::move(item)));
  }
  while (!is(TokenKind::end) && !token_.first_on_line) {
    token_.problem = 0;
    take();
  }
  lost_ = false;
}

void Parser::foreign_comment() {
  const auto line = source_.line_of(token_.span.begin);
  // # of the shell, -- of SQL
  const Span sign{token_.span.begin, token_.span.begin + (is(TokenKind::decrement) ? 2U : 1U)};
  if (word() == "#include" || word() == "#import") {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "there is nothing to include: the guest's types are known"});
  } else {
    fail({.code = Code::foreign_syntax,
          .span = sign,
          .message = "a comment begins with `//`",
          .fix = Fix{sign, "//", "write //"}});
  }
  while (!is(TokenKind::end) && source_.line_of(token_.span.begin) == line) {
    token_.problem = 0;
    take();
  }
  lost_ = false;
}

bool Parser::foreign_statement(std::vector<StmtId>& into) {
  using Before = StatementHabit::Before;
  for (const auto& habit : statement_habits()) {
    if (word() != habit.word) continue;
    // On a line of its own it is a name: so it stays when the formatter puts it there.
    if (lexer_.peek().first_on_line) return false;
    const auto next = lexer_.peek().kind;
    const bool fits = habit.before == Before::call ? next == TokenKind::left_paren
                      : habit.before == Before::arrow
                          ? next == TokenKind::arrow
                          : next == TokenKind::left_brace || next == TokenKind::name ||
                                next == TokenKind::string || next == TokenKind::integer ||
                                (next == TokenKind::star && habit.ours.empty());
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
      let(into);  // read on: the variable is there
    } else if (!habit.ours.empty() && habit.before == Before::call && habit.ours != "for" &&
               !known) {
      lost_ = false;
      renamed_ = habit.ours;  // read on, as what it is here
      into.push_back(simple());
      accept(TokenKind::semicolon);
    }
    return true;
  }
  return false;
}

/// `: int`, where nobody writes a type; read up to `end` or the end of the line.
void Parser::written_type(TokenKind end) {
  const Span begin = token_.span;
  take();
  while (!is(end) && !is(TokenKind::end) && !is(TokenKind::comma) && !is(TokenKind::left_brace) &&
         !is(TokenKind::right_paren) && !token_.first_on_line) {
    token_.problem = 0;
    take();
  }
  const Span written = begin.to(last_);
  const bool known = lost_;
  lost_ = false;
  fail({.code = Code::foreign_syntax,
        .span = written,
        .message = "types are found out from values: none is written",
        .fix = Fix{written, "", fmt::format("remove {}", source_.text(written))}});
  lost_ = known;
}

/// `open*`, `*_open`, `vfs_?ead` where a name stands: a pattern that lacks its quotes.
std::optional<ExprId> Parser::bare_pattern() {
  if (!is(TokenKind::name) && !is(TokenKind::star)) return std::nullopt;
  static constexpr std::string_view kPattern =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_*?";
  const auto rest = source_.text().substr(token_.span.begin);
  // What a star is drawn to by spaces alone is not multiplied by it: there is nothing before.
  const auto first = std::min(rest.find_first_not_of("* \t\r\n\v\f"), rest.size());
  const auto length = is(TokenKind::star) && first < rest.size() &&
                              kPattern.find(rest[first]) != std::string_view::npos
                          ? rest.find_first_not_of(kPattern, first)
                          : rest.find_first_not_of(kPattern);
  const auto behind = rest.find_first_not_of(" \t\r\n\v\f", std::min(length, rest.size()));
  if (behind == std::string_view::npos || (rest[behind] != ')' && rest[behind] != ',') ||
      rest.substr(0, length).find_first_of("*?") == std::string_view::npos)
    return std::nullopt;
  const Span span{token_.span.begin, token_.span.begin + static_cast<std::uint32_t>(length)};
  std::string pattern(source_.text(span));
  std::erase_if(pattern, [](char c) { return kPattern.find(c) == std::string_view::npos; });
  const auto ours = fmt::format("\"{}\"", pattern);
  fail({.code = Code::wrong_argument,
        .span = span,
        .message = "a pattern stands in quotes",
        .fix = Fix{span, ours, fmt::format("write {}", ours)}});
  while (!is(TokenKind::end) && token_.span.begin < span.end) {
    token_.problem = 0;
    take();
  }
  lost_ = false;
  return bad(span);
}

// A word between two values that is a function here.
void Parser::foreign_infix(ExprId left) {
  const bool like = word() == "like" || word() == "LIKE";
  const auto why = like ? kPatterns : look_up(kInfixWords, word());
  if (why.empty() || (!like && !begins_value(lexer_.peek().kind))) return;
  fail({.code = Code::foreign_syntax,
        .span = token_.span,
        .message = std::string(why),
        .hint = like ? fmt::format("matches({}, \"/etc/*\")", source_.text(at(left).span)) : ""});
}

}  // namespace vitrine::vmipl
