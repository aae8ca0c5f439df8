#include "vmipl/lexer.h"

#include <fmt/format.h>

#include <array>

#include "vmipl/catalogue.h"
#include "vmipl/characters.h"

namespace vitrine::vmipl {
namespace {

struct Sign {
  std::string_view text;
  TokenKind kind;
};
// Longest first.
constexpr auto kSigns = std::to_array<Sign>({
    {"<<=", TokenKind::shl_assign}, {">>=", TokenKind::shr_assign},
    {"..", TokenKind::range},       {"->", TokenKind::arrow},
    {"==", TokenKind::eq},          {"!=", TokenKind::ne},
    {"<=", TokenKind::le},          {">=", TokenKind::ge},
    {"&&", TokenKind::and_and},     {"||", TokenKind::or_or},
    {"<<", TokenKind::shl},         {">>", TokenKind::shr},
    {"+=", TokenKind::add_assign},  {"-=", TokenKind::sub_assign},
    {"*=", TokenKind::mul_assign},  {"/=", TokenKind::div_assign},
    {"%=", TokenKind::rem_assign},  {"&=", TokenKind::and_assign},
    {"|=", TokenKind::or_assign},   {"^=", TokenKind::xor_assign},
    {"++", TokenKind::increment},   {"--", TokenKind::decrement},
    {"{", TokenKind::left_brace},   {"}", TokenKind::right_brace},
    {"(", TokenKind::left_paren},   {")", TokenKind::right_paren},
    {"[", TokenKind::left_bracket}, {"]", TokenKind::right_bracket},
    {",", TokenKind::comma},        {";", TokenKind::semicolon},
    {":", TokenKind::colon},        {"?", TokenKind::question},
    {".", TokenKind::dot},          {"=", TokenKind::assign},
    {"+", TokenKind::plus},         {"-", TokenKind::minus},
    {"*", TokenKind::star},         {"/", TokenKind::slash},
    {"%", TokenKind::percent},      {"&", TokenKind::amp},
    {"|", TokenKind::pipe},         {"^", TokenKind::caret},
    {"~", TokenKind::tilde},        {"!", TokenKind::bang},
    {"<", TokenKind::lt},           {">", TokenKind::gt},
});

}  // namespace

std::string_view describe(TokenKind kind) noexcept {
  switch (kind) {
    case TokenKind::end:
      return "the end of the script";
    case TokenKind::bad:
      return "this";
    case TokenKind::name:
      return "a name";
    case TokenKind::integer:
      return "a number";
    case TokenKind::duration:
      return "a duration";
    case TokenKind::string:
      return "a string";
    case TokenKind::channel:
      return "a channel";
    case TokenKind::map:
      return "a map";
    case TokenKind::raw:
      return "this";
    default:
      break;
  }
  for (const auto& sign : kSigns) {
    if (sign.kind == kind) return sign.text;
  }
  return "this";
}

Lexer::Lexer(const Source& source, Diagnostics& diagnostics)
    : source_(source), diagnostics_(diagnostics), text_(source.text()) {
  if (text_.size() > kMaxScriptBytes) {
    diagnostics_.add({.code = Code::script_too_large,
                      .span = {0, 0},
                      .message = fmt::format("the script has {} bytes; a script may have {}",
                                             text_.size(), kMaxScriptBytes)});
    text_ = {};
    return;
  }
  if (text_.starts_with("\xef\xbb\xbf")) offset_ = 3;  // a byte order mark
  // `#!/usr/bin/env -S vitrine run`: a script may be a program of its own.
  if (text_.substr(offset_).starts_with("#!")) {
    while (!ended() && at() != '\n' && at() != '\r') ++offset_;
  }
  check_bytes();
}

void Lexer::check_bytes() {
  for (std::uint32_t i = 0; i < text_.size();) {
    if (text_[i] == '\0') {
      const auto begin = i;
      while (i < text_.size() && text_[i] == '\0') ++i;
      diagnostics_.add(
          {.code = Code::nul_byte,
           .span = {begin, i},
           .message = i - begin == 1
                          ? "there is a NUL byte in the script"
                          : fmt::format("there are {} NUL bytes in the script", i - begin),
           .hint = "in a string write \\0; elsewhere it has no place"});
      continue;
    }
    if (static_cast<unsigned char>(text_[i]) < 0x80) {
      ++i;
      continue;
    }
    const Character c = decode_utf8(text_.substr(i));
    if (c.valid) {
      i += c.bytes;
      continue;
    }
    const auto begin = i;
    while (i < text_.size() && !decode_utf8(text_.substr(i)).valid) ++i;
    diagnostics_.add({.code = Code::invalid_utf8,
                      .span = {begin, i},
                      .message = "these bytes are not UTF-8",
                      .hint = "scripts are text in UTF-8; other bytes go into strings as \\xHH"});
  }
}

void Lexer::hold(Token& token, Diagnostic diagnostic) {
  held_.push_back(std::move(diagnostic));
  token.problem = static_cast<std::uint32_t>(held_.size());
}

bool Lexer::report(const Token& token) {
  if (token.problem == 0) return true;
  const bool good = held_[token.problem - 1].code != Code::unterminated_string;
  diagnostics_.add(held_[token.problem - 1]);
  if (token.problem == held_.size()) held_.pop_back();
  return good;
}

void Lexer::comment(std::uint32_t begin, std::uint32_t end) {
  if (begin < furthest_) return;
  furthest_ = end;
  const auto body = text_.substr(begin, end - begin);
  auto rest = body.substr(2);
  const auto trim = [&] {
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) rest.remove_prefix(1);
  };
  trim();
  constexpr std::string_view kUs = "vitrine:";
  if (!rest.starts_with(kUs)) return;
  rest.remove_prefix(kUs.size());
  trim();
  if (!rest.starts_with("allow")) return;
  rest.remove_prefix(5);
  Allowance allowance{.comment = {begin, end}, .own_line = fresh_line_, .names = {}, .spans = {}};
  while (!rest.empty()) {
    if (is_word(rest.front())) {
      std::size_t length = 0;
      while (length < rest.size() && (is_word(rest[length]) || rest[length] == '-')) ++length;
      const auto from = static_cast<std::uint32_t>(rest.data() - text_.data());
      allowance.names.emplace_back(rest.substr(0, length));
      allowance.spans.push_back({from, from + static_cast<std::uint32_t>(length)});
      rest.remove_prefix(length);
    } else if (rest.front() == ')') {
      break;
    } else {
      rest.remove_prefix(1);
    }
  }
  allowances_.push_back(std::move(allowance));
}

bool Lexer::skip_blank() {
  for (;;) {
    const char c = at();
    if (ended()) return true;
    if (c == '\n' || c == '\r') {
      fresh_line_ = true;
      ++offset_;
    } else if (c == ' ' || c == '\t' || c == '\f' || c == '\v') {
      ++offset_;
    } else if (c == '\0') {
      ++offset_;  // told by check_bytes()
    } else if (c == '/' && at(1) == '/') {
      const auto begin = offset_;
      while (!ended() && at() != '\n' && at() != '\r') ++offset_;
      comment(begin, offset_);
    } else if (c == '/' && at(1) == '*') {
      const auto begin = offset_;
      const auto close = text_.find("*/", begin + 2);
      if (close == std::string_view::npos) {
        diagnostics_.add({.code = Code::unterminated_comment,
                          .span = {begin, begin + 2},
                          .message = "this comment has no end",
                          .label = "begins here",
                          .expected = "*/ before the end of the script"});
        offset_ = static_cast<std::uint32_t>(text_.size());
        return true;
      }
      offset_ = static_cast<std::uint32_t>(close + 2);
      comment(begin, offset_);
    } else if (static_cast<unsigned char>(c) >= 0x80 && !decode_utf8(text_.substr(offset_)).valid) {
      ++offset_;  // told by check_bytes()
    } else {
      return fresh_line_;
    }
  }
}

Token Lexer::peek() {
  Token token;
  peek(std::span(&token, 1));
  return token;
}

void Lexer::peek(std::span<Token> into) {
  const auto offset = offset_;
  const auto fresh = fresh_line_;
  const auto held = held_.size();
  for (auto& token : into) {
    token = next();
    token.problem = 0;
  }
  offset_ = offset;
  fresh_line_ = fresh;
  held_.resize(held);
}

Token Lexer::next() {
  Token token;
  token.first_on_line = skip_blank();
  fresh_line_ = false;
  token.span = {offset_, offset_};
  if (ended()) return token;
  const char c = at();
  if (is_digit(c)) return number(token);
  if (is_letter(c)) {
    while (is_word(at())) ++offset_;
    token.kind = TokenKind::name;
    token.span.end = offset_;
    return token;
  }
  if (c == '"') return string(token);
  if (c == '#' || c == '@') {
    ++offset_;
    while (is_word(at()) || (c == '#' && at() == '-' && is_word(at(1)))) ++offset_;
    token.span.end = offset_;
    token.kind = c == '#' ? TokenKind::channel : TokenKind::map;
    // @ alone is the map without a name.
    if (token.span.size() == 1 && c == '#') {
      hold(token, {.code = Code::bad_sign,
                   .span = token.span,
                   .message = "a channel needs a name",
                   .expected = "#name",
                   .hint = "comments begin with //"});
    }
    return token;
  }
  for (const auto& sign : kSigns) {
    if (text_.substr(offset_, sign.text.size()) == sign.text) {
      offset_ += static_cast<std::uint32_t>(sign.text.size());
      token.kind = sign.kind;
      token.span.end = offset_;
      return token;
    }
  }
  return foreign(token);
}

Token Lexer::foreign(Token token) {
  token.kind = TokenKind::bad;
  Diagnostic problem{.code = Code::unexpected_character,
                     .message = "this character has no meaning here"};
  const char c = at();
  if (c == '$' && is_letter(at(1))) {
    ++offset_;
    while (is_word(at())) ++offset_;
    token.span.end = offset_;
    problem.message = "names have no $ here";
    problem.hint = "declare a variable with `let`";
    const auto name = std::string(text_.substr(token.span.begin + 1, token.span.size() - 1));
    const auto reg = find_register(name);
    if (reg || name == "pc" || name == "sp") {
      const auto ours = fmt::format("reg.{}", reg            ? registers()[*reg].name
                                              : name == "pc" ? std::string_view("rip")
                                                             : std::string_view("rsp"));
      problem.span = token.span;
      problem.message = fmt::format("a register's value is {}", ours);
      problem.hint.clear();
      problem.fix = Fix{token.span, ours, "write " + ours};
      token.kind = TokenKind::integer;  // parse on with a number, of which no more is told
      token.broken = true;
      hold(token, std::move(problem));
      return token;
    }
    problem.fix = Fix{token.span, name, "write " + name};
    token.kind = TokenKind::name;  // parse on with the name
    problem.span = token.span;
    token.span.begin += 1;
    hold(token, std::move(problem));
    return token;
  }
  if (c == '$' && is_digit(at(1))) {
    while (!ended() && (at() == '$' || is_digit(at()))) ++offset_;
    token.span.end = offset_;
    problem.span = token.span;
    problem.message = "a script takes no parameters";
    problem.hint = "const NAME = VALUE at its top; the shell can write it: -e \"const n = $1 ...\"";
    token.kind = TokenKind::integer;
    token.broken = true;
    hold(token, std::move(problem));
    return token;
  }
  if (c == '\'') {
    // 'x' is the number of a character.
    ++offset_;
    if (!ended() && at() != '\'' && at() != '\n' && at() != '\r') {
      const Character inner = decode_utf8(text_.substr(offset_));
      std::uint32_t length = inner.bytes;
      if (inner.code == '\\' && offset_ + 1 < text_.size()) length = at(1) == 'x' ? 4 : 2;
      if (at(length) == '\'') {
        const auto body = text_.substr(offset_, length);
        offset_ += length + 1;
        token.span.end = offset_;
        token.kind = TokenKind::integer;
        if (body.front() != '\\') {
          token.value = inner.code;
          return token;
        }
        if (std::string_view("ntr0\\\"'ex").find(body[1]) == std::string_view::npos ||
            (body[1] == 'x' && (hex_digit(body[2]) < 0 || hex_digit(body[3]) < 0))) {
          token.broken = true;
          hold(token, {.code = Code::bad_escape,
                       .span = token.span,
                       .message = fmt::format("there is no escape {}", body),
                       .expected = "\\n \\t \\r \\0 \\e \\\\ \\' \\\" \\xHH"});
          return token;
        }
        const auto decoded = unquote(fmt::format("\"{}\"", body));
        token.value = decode_utf8(decoded).code;
        return token;
      }
    }
    while (!ended() && at() != '\'' && at() != '\n' && at() != '\r') ++offset_;
    const bool closed = at() == '\'';
    const auto body =
        std::string(text_.substr(token.span.begin + 1, offset_ - token.span.begin - 1));
    if (closed) ++offset_;
    token.span.end = offset_;
    problem.span = token.span;
    problem.message = "'...' holds one character";
    if (closed) {
      problem.hint = "text stands in double quotes";
      problem.fix = Fix{token.span, "\"" + body + "\"", "write \"" + body + "\""};
      token.kind = TokenKind::string;
    }
    hold(token, std::move(problem));
    return token;
  }
  const Character first = decode_utf8(text_.substr(offset_));
  const bool double_quote = first.code == 0x201c || first.code == 0x201d || first.code == 0x201e ||
                            first.code == 0xab || first.code == 0xbb;
  if (double_quote || first.code == 0x2018 || first.code == 0x2019) {
    // The whole string, up to a quote of the same kind on this line.
    const auto line = text_.substr(
        offset_, std::min(text_.find_first_of("\r\n", offset_), text_.size()) - offset_);
    std::size_t at_byte = first.bytes;
    bool closed = false, plain = true;
    std::size_t after = 0;
    while (at_byte < line.size() && !closed) {
      const Character next = decode_utf8(line.substr(at_byte));
      closed = double_quote ? next.code == 0x201d || next.code == 0x201c || next.code == 0xbb ||
                                  next.code == 0xab
                            : next.code == 0x2019 || next.code == 0x2018;
      plain = plain && next.code != '"' && next.code != '\'';
      at_byte += next.bytes;
      if (closed) after = at_byte - next.bytes;
    }
    if (closed && plain) {
      const auto inner = line.substr(first.bytes, after - first.bytes);
      offset_ += static_cast<std::uint32_t>(at_byte);
      token.kind = TokenKind::string;
      token.span.end = offset_;
      problem.span = token.span;
      problem.message = "typographic quotes are not quotes";
      const auto ours = fmt::format("\"{}\"", inner);
      problem.fix = Fix{token.span, ours, fmt::format("write {}", ours)};
      hold(token, std::move(problem));
      return token;
    }
  }
  if (first.code < 0x80) {
    ++offset_;
  } else {
    // One diagnostic for a run of such characters.
    while (!ended() && static_cast<unsigned char>(at()) >= 0x80)
      offset_ += decode_utf8(text_.substr(offset_)).bytes;
  }
  token.span.end = offset_;
  problem.span = token.span;
  switch (first.code) {
    case 0x201c:
    case 0x201d:
    case 0x201e:
    case 0x00ab:
    case 0x00bb:
      problem.message = "typographic quotes are not quotes";
      problem.fix = Fix{token.span, "\"", "write \""};
      break;
    case 0x2018:
    case 0x2019:
      problem.message = "typographic quotes are not quotes";
      problem.fix = Fix{token.span, "'", "write '"};
      break;
    case 0x00a0:
    case 0x2003:
    case 0x2009:
    case 0x202f:
    case 0x3000:
    case 0x200b:
    case 0xfeff:
      problem.message =
          fmt::format("this is not a space but U+{:04X}", static_cast<unsigned>(first.code));
      problem.fix = Fix{token.span, " ", "write a space"};
      break;
    case 0x2013:
    case 0x2014:
    case 0x2212:
      problem.message = "this is a typographic dash, not a minus";
      problem.fix = Fix{token.span, "-", "write -"};
      break;
    case '\\':
      problem.hint = "lines need no continuation: newlines are free";
      break;
    case '`':
      problem.hint = "text stands in double quotes";
      break;
    default:
      if (first.code >= 0x80) problem.hint = "names are made of A-Z, a-z, 0-9 and _";
      break;
  }
  hold(token, std::move(problem));
  return token;
}

template <class Accept>
std::optional<Token> Lexer::reread(const Token& token, Accept&& accept) {
  std::uint32_t end = token.span.begin;
  while (end < text_.size() && accept(text_[end], end)) ++end;
  if (end == token.span.begin) return std::nullopt;
  offset_ = end;
  fresh_line_ = false;
  if (token.problem != 0 && token.problem == held_.size()) held_.pop_back();
  Token raw = token;
  raw.kind = TokenKind::raw;
  raw.problem = 0;
  raw.span.end = end;
  return raw;
}

std::optional<Token> Lexer::read_path(const Token& token) {
  return reread(token, [](char c, std::uint32_t) {
    return is_word(c) || std::string_view("/.-+~%=").find(c) != std::string_view::npos ||
           static_cast<unsigned char>(c) >= 0x80;
  });
}

std::optional<Token> Lexer::read_mac(const Token& token) {
  return reread(token, [](char c, std::uint32_t) { return is_word(c) || c == ':' || c == '-'; });
}

std::optional<Token> Lexer::read_bare_address(const Token& token) {
  if (token.kind != TokenKind::name && token.kind != TokenKind::integer &&
      token.kind != TokenKind::duration)
    return std::nullopt;
  std::uint32_t digits = 0;
  std::uint64_t value = 0;
  while (token.span.begin + digits < text_.size() &&
         hex_digit(text_[token.span.begin + digits]) >= 0 && digits < 9) {
    value = value * 16 + static_cast<std::uint64_t>(hex_digit(text_[token.span.begin + digits]));
    ++digits;
  }
  if (digits != 8 || (token.span.begin + 8 < text_.size() && is_word(text_[token.span.begin + 8])))
    return std::nullopt;
  auto raw = reread(token, [&](char, std::uint32_t at) { return at < token.span.begin + 8; });
  if (raw) raw->value = value;
  return raw;
}

}  // namespace vitrine::vmipl
