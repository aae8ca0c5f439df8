// Arguments, each read as the catalogue says: outputs, addresses, MAC addresses.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/parser_state.h"

namespace vitrine::vmipl {

std::vector<ExprId> Parser::arguments(const ProbeInfo* probe, const Token& open) {
  std::vector<ExprId> args;
  if (probe == nullptr && is(TokenKind::star) && lexer_.peek().kind == TokenKind::right_paren) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "count() counts how often it is reached: nothing stands in it",
          .fix = Fix{token_.span, "", "remove *"}});
    lost_ = false;
    take();
  }
  while (!is(TokenKind::right_paren) && !is(TokenKind::end) && !lost_) {
    args.push_back(argument(probe, args.size()));
    if (lost_) break;
    if (!accept(TokenKind::comma)) break;
    if (is(TokenKind::right_paren)) {
      fail({.code = Code::unexpected,
            .span = last_,
            .message = "there is no argument after this comma",
            .fix = Fix{last_, "", "remove it"}});
      lost_ = false;
    }
  }
  close(TokenKind::right_paren, open, LaidToken::call_close);
  // ProcessList(PID, out): the last name is a path, unless it is a field.
  if (probe != nullptr && !args.empty() && !probe->params.empty() &&
      probe->params.back().kind == ParamKind::output) {
    Expr& last = at(args.back());
    const auto is_field = [&](std::span<const std::string_view> names) {
      return std::find(names.begin(), names.end(), last.text) != names.end();
    };
    if (last.kind == Expr::Kind::name && !is_field(process_list_fields()) &&
        !is_field(vmcs_fields()) &&
        (probe->params.front().repeated || args.size() == probe->params.size())) {
      last.kind = Expr::Kind::output;
      last.value = 0;
    }
  }
  return args;
}

ExprId Parser::argument(const ProbeInfo* probe, std::size_t index) {
  if (probe == nullptr || probe->params.empty()) return expression();
  const auto& params = probe->params;
  const auto& param = params[std::min(index, params.size() - 1)];
  const bool has_output = params.back().kind == ParamKind::output;
  const bool repeated = params.front().repeated;
  if (param.kind == ParamKind::optional_output && index == 0 &&
      (is(TokenKind::slash) || is(TokenKind::dot)))
    return output_argument();
  const bool at_output = has_output && (repeated ? index > 0 : index + 1 >= params.size());
  // A path can stand nowhere else: where one begins, one is meant.
  if (has_output && (is(TokenKind::slash) || is(TokenKind::dot) || is(TokenKind::range)))
    return output_argument();
  if (at_output && !is(TokenKind::channel) && !is(TokenKind::string)) {
    if (repeated && is(TokenKind::name)) {
      const auto next = lexer_.peek().kind;
      if (next == TokenKind::comma || next == TokenKind::right_paren) return expression();
    }
    if (is(TokenKind::name) || is(TokenKind::integer) || is(TokenKind::duration) ||
        is(TokenKind::tilde))
      return output_argument();
  }
  switch (param.kind) {
    case ParamKind::mac:
      return mac_argument();
    case ParamKind::device:
      if (is(TokenKind::star)) {
        Expr star{.kind = Expr::Kind::star, .span = token_.span};
        take();
        return add(std::move(star));
      }
      return expression();
    case ParamKind::system_call:
      if (const auto pattern = bare_pattern()) return *pattern;
      return expression();
    case ParamKind::address:
    case ParamKind::code:
      if (param.kind == ParamKind::code) {
        if (const auto pattern = bare_pattern()) return *pattern;
      }
      return address_argument(probe->classic);
    case ParamKind::output:
      if (is(TokenKind::string)) {
        Expr path{.kind = Expr::Kind::output, .span = token_.span, .text = Lexer::unquote(word())};
        take();
        return add(std::move(path));
      }
      return expression();
    default:
      return expression();
  }
}

ExprId Parser::output_argument() {
  Expr expr{.kind = Expr::Kind::output, .span = token_.span};
  const auto raw = lexer_.read_path(token_);
  if (!raw) {
    fail({.code = Code::bad_output,
          .span = token_.span,
          .message = fmt::format("expected an output, found {}", found()),
          .expected = std::string(describe(ParamKind::output))});
    return bad(expr.span);
  }
  token_ = *raw;
  expr.span = token_.span;
  expr.text = std::string(word());
  take();
  return add(std::move(expr));
}

ExprId Parser::address_argument(bool bare_hex) {
  if (bare_hex) {
    if (auto raw = lexer_.read_bare_address(token_)) {
      const auto digits = word(*raw);
      raw->kind = TokenKind::integer;
      token_ = *raw;
      bare_at_ = token_.span.begin;
      if (std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
        diagnostics_.add(
            {.code = Code::ambiguous_address,
             .span = token_.span,
             .message = fmt::format("{} is read as the hexadecimal address 0x{}", digits, digits),
             .fix =
                 Fix{token_.span, "0x" + std::string(digits), fmt::format("write 0x{}", digits)}});
      }
    }
  }
  return expression();
}

ExprId Parser::mac_argument() {
  Expr expr{.kind = Expr::Kind::mac, .span = token_.span};
  if (is(TokenKind::star)) {
    expr.kind = Expr::Kind::star;
    take();
    return add(std::move(expr));
  }
  std::string text;
  if (is(TokenKind::string)) {
    text = Lexer::unquote(word());
    take();
    if (text == "*") {
      expr.kind = Expr::Kind::star;
      return add(std::move(expr));
    }
  } else {
    const auto raw = is(TokenKind::channel) ? std::nullopt : lexer_.read_mac(token_);
    if (!raw) {
      fail({.code = Code::bad_mac,
            .span = token_.span,
            .message = fmt::format("expected a MAC address or *, found {}", found())});
      return bad(expr.span);
    }
    token_ = *raw;
    expr.span = token_.span;
    text = std::string(word());
    take();
  }
  unsigned digits = 0, groups = 1, in_group = 0;
  bool good = true;
  for (const char c : text) {
    if (c == ':' || c == '-') {
      good = good && in_group == 2;
      in_group = 0;
      ++groups;
      continue;
    }
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    good = good && digit >= 0;
    expr.value = expr.value * 16 + static_cast<std::uint64_t>(digit < 0 ? 0 : digit);
    ++digits;
    ++in_group;
  }
  if (!good || digits != 12 || (groups != 6 && groups != 1) || (groups == 6 && in_group != 2)) {
    diagnostics_.add(
        {.code = Code::bad_mac,
         .span = expr.span,
         .message = fmt::format("{} is not a MAC address", text.size() > 40 ? "this" : text),
         .expected = "six pairs of hexadecimal digits: 52:54:00:12:34:56, or *"});
  }
  expr.text = std::move(text);
  return add(std::move(expr));
}

}  // namespace vitrine::vmipl
