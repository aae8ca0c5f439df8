#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "vmipl/habits.h"
#include "vmipl/parser_state.h"

namespace vitrine::vmipl {
namespace {

struct Infix {
  TokenKind kind;
  Op op;
  int level;
};
// Comparisons bind less than | ^ &: `flags & 1 == 0` means what it looks like.
constexpr int kComparison = 3;
constexpr auto kInfix = std::to_array<Infix>({
    {TokenKind::or_or, Op::logic_or, 1},
    {TokenKind::and_and, Op::logic_and, 2},
    {TokenKind::eq, Op::eq, 3},
    {TokenKind::ne, Op::ne, 3},
    {TokenKind::lt, Op::lt, 3},
    {TokenKind::le, Op::le, 3},
    {TokenKind::gt, Op::gt, 3},
    {TokenKind::ge, Op::ge, 3},
    {TokenKind::pipe, Op::bit_or, 4},
    {TokenKind::caret, Op::bit_xor, 5},
    {TokenKind::amp, Op::bit_and, 6},
    {TokenKind::shl, Op::shl, 7},
    {TokenKind::shr, Op::shr, 7},
    {TokenKind::plus, Op::add, 8},
    {TokenKind::minus, Op::sub, 8},
    {TokenKind::star, Op::mul, 9},
    {TokenKind::slash, Op::div, 9},
    {TokenKind::percent, Op::rem, 9},
});

constexpr auto kTypeWords = std::to_array<std::string_view>(
    {"unsigned", "signed", "char", "short", "int", "long", "const", "volatile"});
constexpr auto kPlainTypes = std::to_array<std::string_view>(
    {"u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "bool", "_Bool", "void"});

bool is_type_word(std::string_view word) {
  return std::find(kTypeWords.begin(), kTypeWords.end(), word) != kTypeWords.end();
}
bool is_plain_type(std::string_view word) {
  return std::find(kPlainTypes.begin(), kPlainTypes.end(), word) != kPlainTypes.end();
}
bool is_tag(std::string_view word) { return word == "struct" || word == "union" || word == "enum"; }

}  // namespace

bool is_keyword(std::string_view word) noexcept {
  constexpr auto kKeywords = std::to_array<std::string_view>(
      {"if", "else", "for", "let", "const", "fn", "return", "break", "continue", "when", "in",
       "struct", "union", "enum", "true", "false", "sizeof", "offsetof"});
  return std::find(kKeywords.begin(), kKeywords.end(), word) != kKeywords.end();
}

ExprId Parser::expression() { return conditional(); }

ExprId Parser::conditional() {
  Nest nest(*this);
  if (!nest) return bad(token_.span);
  const auto condition = binary(1);
  if (!is(TokenKind::question)) return condition;
  take();
  Expr expr{.kind = Expr::Kind::conditional, .a = condition};
  expr.b = expression();
  if (!expect(TokenKind::colon, "`:` and the other value")) return condition;
  expr.c = conditional();
  expr.span = at(condition).span.to(last_);
  return add(std::move(expr));
}

ExprId Parser::binary(int least) {
  auto left = unary();
  bool compared = false;
  for (;;) {
    const Infix* infix = nullptr;
    for (const auto& candidate : kInfix) {
      if (is(candidate.kind)) infix = &candidate;
    }
    // `and`, `or`, `<>`, `like`: told, and read on as what they mean.
    std::string_view ours;
    Span theirs = token_.span;
    if (is(TokenKind::name) && !token_.first_on_line && !lost_) {
      ours = operator_habit(word());
      if (ours.empty()) foreign_infix(left);
    } else if (is(TokenKind::lt)) {
      const Token next = lexer_.peek();
      if (next.kind == TokenKind::gt && next.span.begin == token_.span.end) {
        ours = "!=";
        theirs = theirs.to(next.span);
      }
    }
    for (const auto& candidate : kInfix) {
      if (!ours.empty() && text(candidate.op) == ours) infix = &candidate;
    }
    if (infix == nullptr || infix->level < least || lost_) return left;
    // A line that begins with one of these is a new statement's mistake, or meant to go on: C says
    // it goes on, and so do we; but nothing can begin with a binary operator alone.
    if (infix->level == kComparison && compared) {
      const Span span = token_.span;
      const Expr& compared_with = at(at(left).b);
      if (compared_with.kind == Expr::Kind::binary && !compared_with.parenthesized &&
          (compared_with.op == Op::bit_and || compared_with.op == Op::bit_or)) {
        const auto twice = std::string(2, text(compared_with.op).front());
        fail({.code = Code::chained_comparison,
              .span = compared_with.name_span,
              .message =
                  fmt::format("`{}` binds more than comparisons; truth values go together by {}",
                              text(compared_with.op), twice),
              .fix = Fix{compared_with.name_span, twice, fmt::format("write {}", twice)}});
      }
      fail({.code = Code::chained_comparison,
            .span = span,
            .message = "comparisons do not chain",
            .hint = "write a < b && b < c"});
      lost_ = false;
      left = bad(at(left).span);  // what it would be is not said as well
    }
    compared = infix->level == kComparison;
    const Span sign = token_.span;
    if (!ours.empty()) {
      fail({.code = Code::foreign_syntax,
            .span = theirs,
            .message = fmt::format("`{}` is written `{}`", source_.text(theirs), ours),
            .fix = Fix{theirs, std::string(ours), fmt::format("write {}", ours)}});
      lost_ = false;
      if (ours == "!=") take();
    }
    take();
    Expr expr{.kind = Expr::Kind::binary, .op = infix->op, .name_span = sign, .a = left};
    expr.b = binary(infix->level + 1);
    expr.span = at(expr.a).span.to(at(expr.b).span);
    left = add(std::move(expr));
  }
}

ExprId Parser::unary() {
  Op op = Op::none;
  if (is(TokenKind::minus)) op = Op::negate;
  if (is(TokenKind::tilde)) op = Op::bit_not;
  if (is(TokenKind::bang)) op = Op::logic_not;
  if (is(TokenKind::amp)) op = Op::address_of;
  if (is(TokenKind::star)) op = Op::dereference;
  if (is(TokenKind::plus)) {  // +1 is 1
    take(LaidToken::prefix);
    Nest nest(*this);
    return nest ? unary() : bad(token_.span);
  }
  if (is_word("not") && lexer_.peek().kind != TokenKind::dot &&
      lexer_.peek().kind != TokenKind::right_paren) {
    const auto next = lexer_.peek();
    if (!next.first_on_line &&
        (next.kind == TokenKind::name || next.kind == TokenKind::left_paren ||
         next.kind == TokenKind::map)) {
      fail({.code = Code::foreign_syntax,
            .span = token_.span,
            .message = "`not` is written `!`",
            .fix = Fix{token_.span, "!", "write !"}});
      lost_ = false;
      op = Op::logic_not;
    }
  }
  if (op == Op::none) return postfix(primary());
  Nest nest(*this);
  if (!nest) return bad(token_.span);
  const Span begin = token_.span;
  take(LaidToken::prefix);
  Expr expr{.kind = Expr::Kind::unary, .op = op, .name_span = begin};
  expr.a = unary();
  expr.span = begin.to(at(expr.a).span);
  return add(std::move(expr));
}

ExprId Parser::postfix(ExprId expr) {
  while (!lost_) {
    if (is(TokenKind::dot) || is(TokenKind::arrow)) {
      const bool arrow = is(TokenKind::arrow);
      take(LaidToken::glued);
      Expr next{.kind = arrow ? Expr::Kind::arrow : Expr::Kind::field,
                .name_span = token_.span,
                .text = std::string(word()),
                .a = expr};
      next.span = at(expr).span.to(token_.span);
      if (!expect(TokenKind::name, "a member's name", LaidToken::glued)) return expr;
      if (is(TokenKind::left_paren) && !token_.first_on_line) {
        if (at(expr).kind == Expr::Kind::name && at(expr).text == "phys" && !arrow) {
          const Token open = take(LaidToken::call_paren);
          Expr call{.kind = Expr::Kind::call, .name_span = next.span, .text = "phys." + next.text};
          const Span begin = next.span;
          call.args = arguments(nullptr, open);
          call.span = begin.to(last_);
          expr = add(std::move(call));
          continue;
        }
        auto ours = std::string(function_habit(next.text));
        if (ours.empty()) {
          Nearest nearest(next.text);
          for (const auto& function : functions()) nearest.offer(function.name);
          ours = nearest.found() ? nearest.best() : next.text;
        }
        fail({.code = Code::unexpected,
              .span = next.name_span,
              .message = fmt::format("`{}` is not called: functions stand before their arguments",
                                     next.text),
              .hint = fmt::format("{}({} ...)", ours, source_.text(at(expr).span))});
        return expr;
      }
      expr = add(std::move(next));
    } else if (is(TokenKind::left_bracket) && !token_.first_on_line) {
      const Token open = take(LaidToken::call_paren);
      Expr next{.kind = Expr::Kind::index, .a = expr};
      next.b = expression();
      close(TokenKind::right_bracket, open, LaidToken::call_close);
      next.span = at(expr).span.to(last_);
      expr = add(std::move(next));
    } else {
      return expr;
    }
  }
  return expr;
}

/// `1 s`: the unit of a duration stands at its number.
void Parser::unit_apart(Expr& number) {
  if (lost_ || !is(TokenKind::name) || token_.first_on_line) return;
  const auto unit = Lexer::unit_called(word());
  if (unit.empty()) return;
  const auto next = lexer_.peek().kind;
  if (next != TokenKind::right_paren && next != TokenKind::comma && next != TokenKind::and_and &&
      next != TokenKind::or_or && next != TokenKind::plus && next != TokenKind::minus)
    return;
  const Span whole = number.span.to(token_.span);
  const auto ours = fmt::format("{}{}", source_.text(number.span), unit);
  fail({.code = Code::unexpected,
        .span = whole,
        .message = "a duration's unit stands at its number, without a blank",
        .fix = Fix{whole, ours, fmt::format("write {}", ours)}});
  lost_ = false;
  take();
  number.kind = Expr::Kind::bad;
  number.span = whole;
}

ExprId Parser::primary() {
  Expr expr{.span = token_.span, .name_span = token_.span};
  switch (token_.kind) {
    case TokenKind::integer:
      expr.kind = token_.broken ? Expr::Kind::bad : Expr::Kind::integer;
      expr.value = token_.value;
      expr.bare = bare_at_ == token_.span.begin;
      take();
      unit_apart(expr);
      return add(std::move(expr));
    case TokenKind::duration:
      expr.kind = token_.broken ? Expr::Kind::bad : Expr::Kind::duration;
      expr.value = token_.value;
      take();
      return add(std::move(expr));
    case TokenKind::string:
      expr.kind = Expr::Kind::string;
      expr.text = Lexer::unquote(word());
      take();
      // "one" "two" is one string, as in C.
      while (is(TokenKind::string)) {
        expr.text += Lexer::unquote(word());
        expr.span = expr.span.to(token_.span);
        take();
      }
      return add(std::move(expr));
    case TokenKind::channel:
      expr.kind = Expr::Kind::output;
      expr.text = std::string(word().substr(1));
      expr.value = 1;
      take();
      return add(std::move(expr));
    case TokenKind::map: {
      expr.kind = Expr::Kind::map;
      expr.text = std::string(word().substr(1));
      take();
      if (is(TokenKind::left_brace) && token_.span.begin == last_.end) {
        fail({.code = Code::unexpected,
              .span = token_.span,
              .message = "keys stand in brackets",
              .expected = fmt::format("@{}[key]", expr.text)});
        return bad(expr.span);
      }
      if (is(TokenKind::left_bracket)) {
        const Token open = take(LaidToken::call_paren);
        expr.has_keys = true;
        while (!is(TokenKind::right_bracket) && !lost_) {
          expr.args.push_back(expression());
          if (!accept(TokenKind::comma)) break;
        }
        close(TokenKind::right_bracket, open, LaidToken::call_close);
        expr.span = expr.span.to(last_);
        if (is(TokenKind::left_bracket) && !token_.first_on_line && !lost_) {
          fail({.code = Code::unexpected,
                .span = token_.span,
                .message = "keys stand in one pair of brackets",
                .expected = "@map[key, key]"});
        }
      }
      return add(std::move(expr));
    }
    case TokenKind::left_paren:
      return cast_or_group();
    case TokenKind::name:
      return name_or_call();
    default:
      break;
  }
  if (is(TokenKind::slash) && !lost_) {
    fail({.code = Code::unexpected,
          .span = token_.span,
          .message = "expected a value, found `/`",
          .hint = "text, paths too, stands in double quotes"});
    return bad(token_.span);
  }
  fail_here("a value");
  return bad(token_.span);
}

bool Parser::looks_like_cast() {
  // After the `(`.
  if (!is(TokenKind::name)) return false;
  const auto first = word();
  if (is_tag(first) || is_type_word(first)) return true;
  std::array<Token, 2> next;
  lexer_.peek(next);
  if (next[0].kind == TokenKind::right_paren) {
    if (is_plain_type(first)) return true;
    // (pid_t)x: two values do not stand side by side, so the first is a type.
    const auto second = word(next[1]);
    return !next[1].first_on_line && (next[1].kind == TokenKind::integer ||
                                      (next[1].kind == TokenKind::name && second.front() >= 'a' &&
                                       second.front() <= 'z' && !is_keyword(second)));
  }
  return next[0].kind == TokenKind::star &&
         (next[1].kind == TokenKind::right_paren || next[1].kind == TokenKind::star);
}

ExprId Parser::cast_or_group() {
  Nest nest(*this);
  if (!nest) return bad(token_.span);
  const Token open = token_;
  take();
  if (looks_like_cast()) {
    Expr expr{.kind = Expr::Kind::cast};
    TypeName type;
    if (!type_name(type)) return bad(open.span);
    if (!close(TokenKind::right_paren, open, LaidToken::cast_close)) return bad(open.span);
    script_.types.push_back(std::move(type));
    expr.type = static_cast<std::uint32_t>(script_.types.size() - 1);
    expr.a = unary();
    expr.span = open.span.to(at(expr.a).span);
    return add(std::move(expr));
  }
  const auto inner = expression();
  (void)assigns_by_mistake("`=` assigns, and is a statement; a comparison is `==`");
  if (is(TokenKind::comma) && !lost_) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "values are not put together in parentheses",
          .hint = "several keys stand in a map's brackets: @map[a, b]"});
    return bad(open.span);
  }
  close(TokenKind::right_paren, open);
  at(inner).parenthesized = true;
  at(inner).span = open.span.to(last_);
  return inner;
}

bool Parser::type_name(TypeName& type) {
  type.span = token_.span;
  while (is_word("const") || is_word("volatile")) take();
  if (is(TokenKind::name) && is_tag(word())) {
    type.tag = word() == "struct"  ? TypeName::structure
               : word() == "union" ? TypeName::union_
                                   : TypeName::enumeration;
    take();
    type.name = std::string(word());
    if (!expect(TokenKind::name, "the type's name")) return false;
  } else if (is(TokenKind::name) && is_type_word(word())) {
    while (is(TokenKind::name) && is_type_word(word())) {
      if (word() != "const" && word() != "volatile")
        type.name += (type.name.empty() ? "" : " ") + std::string(word());
      take();
    }
  } else {
    type.name = std::string(word());
    if (!expect(TokenKind::name, "a type")) return false;
  }
  while (is_word("const")) take();
  while (is(TokenKind::star)) {
    if (++type.pointers > 8) {
      fail_here("a type");
      return false;
    }
    take(type.pointers == 1 ? LaidToken::type_star : LaidToken::glued);
  }
  type.span = type.span.to(last_);
  return true;
}

ExprId Parser::size_of() {
  Expr expr{.kind = Expr::Kind::size_of, .span = token_.span};
  take();
  const Token open = token_;
  if (!expect(TokenKind::left_paren, "`(` and a type", LaidToken::call_paren))
    return bad(expr.span);
  const bool type =
      is(TokenKind::name) && (looks_like_cast() || lexer_.peek().kind == TokenKind::right_paren);
  if (type) {
    TypeName name;
    if (!type_name(name)) return bad(expr.span);
    script_.types.push_back(std::move(name));
    expr.type = static_cast<std::uint32_t>(script_.types.size() - 1);
  } else {
    expr.a = expression();
  }
  close(TokenKind::right_paren, open, LaidToken::call_close);
  expr.span = expr.span.to(last_);
  return add(std::move(expr));
}

ExprId Parser::offset_of() {
  Expr expr{.kind = Expr::Kind::offset_of, .span = token_.span};
  take();
  const Token open = token_;
  if (!expect(TokenKind::left_paren, "`(`: offsetof(struct x, member)", LaidToken::call_paren))
    return bad(expr.span);
  TypeName name;
  if (!type_name(name)) return bad(expr.span);
  script_.types.push_back(std::move(name));
  expr.type = static_cast<std::uint32_t>(script_.types.size() - 1);
  if (!expect(TokenKind::comma, "`,` and a member")) return bad(expr.span);
  expr.name_span = token_.span;
  expr.text = std::string(word());
  if (!expect(TokenKind::name, "a member's name")) return bad(expr.span);
  while (accept(TokenKind::dot, LaidToken::glued)) {
    expr.text += '.' + std::string(word());
    if (!expect(TokenKind::name, "a member's name", LaidToken::glued)) return bad(expr.span);
  }
  expr.name_span = expr.name_span.to(last_);
  close(TokenKind::right_paren, open, LaidToken::call_close);
  expr.span = expr.span.to(last_);
  return add(std::move(expr));
}

ExprId Parser::name_or_call() {
  Expr expr{.kind = Expr::Kind::name,
            .span = token_.span,
            .name_span = token_.span,
            .text = std::string(word())};
  if (expr.text == "true" || expr.text == "false") {
    expr.kind = Expr::Kind::boolean;
    expr.value = expr.text == "true";
    take();
    return add(std::move(expr));
  }
  if (expr.text == "sizeof") return size_of();
  if (expr.text == "offsetof") return offset_of();
  if (is_keyword(expr.text)) {
    fail_here("a value");
    return bad(expr.span);
  }
  const Token name = token_;
  const auto renamed = std::exchange(renamed_, std::string_view());
  take();
  if (is(TokenKind::string) && token_.span.begin == last_.end && !lost_) {
    fail({.code = Code::foreign_syntax,
          .span = name.span,
          .message = "a string has nothing before its quotes",
          .hint = "values follow the format: Print(\"%s\", value)",
          .fix = Fix{name.span, "", fmt::format("remove {}", expr.text)}});
    lost_ = false;
    return primary();
  }
  if (!is(TokenKind::left_paren) || token_.first_on_line) return add(std::move(expr));

  if (!renamed.empty()) expr.text = renamed;
  const char first = expr.text.front();
  const bool pascal = first >= 'A' && first <= 'Z';
  const ProbeInfo* probe = nullptr;
  if (pascal && !renamed.empty()) {
    probe = find_probe(renamed);
  } else if (pascal) {
    probe = probe_called(name, 0b11110, Code::unknown_action);
    if (probe != nullptr) expr.text = std::string(probe->name);
  }
  Nest nest(*this);
  if (!nest) return bad(expr.span);
  const Token open = take(LaidToken::call_paren);
  expr.kind = Expr::Kind::call;
  expr.args = arguments(probe, open);
  expr.span = expr.span.to(last_);
  return add(std::move(expr));
}

}  // namespace vitrine::vmipl
