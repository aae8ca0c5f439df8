#include "vmipl/lexer.h"

#include <fmt/format.h>

#include <array>

namespace vitrine::vmipl {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_letter(c) || is_digit(c); }
int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

struct Sign {
  std::string_view text;
  TokenKind kind;
};
// Longest first.
constexpr auto kSigns = std::to_array<Sign>({
    {"<<=", TokenKind::shl_assign}, {">>=", TokenKind::shr_assign},
    {"..", TokenKind::range}, {"->", TokenKind::arrow}, {"==", TokenKind::eq}, {"!=", TokenKind::ne},
    {"<=", TokenKind::le}, {">=", TokenKind::ge}, {"&&", TokenKind::and_and}, {"||", TokenKind::or_or},
    {"<<", TokenKind::shl}, {">>", TokenKind::shr}, {"+=", TokenKind::add_assign},
    {"-=", TokenKind::sub_assign}, {"*=", TokenKind::mul_assign}, {"/=", TokenKind::div_assign},
    {"%=", TokenKind::rem_assign}, {"&=", TokenKind::and_assign}, {"|=", TokenKind::or_assign},
    {"^=", TokenKind::xor_assign}, {"++", TokenKind::increment}, {"--", TokenKind::decrement},
    {"{", TokenKind::left_brace}, {"}", TokenKind::right_brace}, {"(", TokenKind::left_paren},
    {")", TokenKind::right_paren}, {"[", TokenKind::left_bracket}, {"]", TokenKind::right_bracket},
    {",", TokenKind::comma}, {";", TokenKind::semicolon}, {":", TokenKind::colon},
    {"?", TokenKind::question}, {".", TokenKind::dot}, {"=", TokenKind::assign}, {"+", TokenKind::plus},
    {"-", TokenKind::minus}, {"*", TokenKind::star}, {"/", TokenKind::slash}, {"%", TokenKind::percent},
    {"&", TokenKind::amp}, {"|", TokenKind::pipe}, {"^", TokenKind::caret}, {"~", TokenKind::tilde},
    {"!", TokenKind::bang}, {"<", TokenKind::lt}, {">", TokenKind::gt},
});

struct Unit {
  std::string_view suffix;
  std::uint64_t nanoseconds;
};
constexpr auto kUnits = std::to_array<Unit>({{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000},
    {"m", 60'000'000'000}, {"min", 60'000'000'000}, {"h", 3'600'000'000'000}, {"d", 86'400'000'000'000}});

}  // namespace

std::string_view describe(TokenKind kind) noexcept {
  switch (kind) {
    case TokenKind::end: return "the end of the script";
    case TokenKind::bad: return "this";
    case TokenKind::name: return "a name";
    case TokenKind::integer: return "a number";
    case TokenKind::duration: return "a duration";
    case TokenKind::string: return "a string";
    case TokenKind::channel: return "a channel";
    case TokenKind::map: return "a map";
    case TokenKind::raw: return "this";
    default: break;
  }
  for (const auto& sign : kSigns) {
    if (sign.kind == kind) return sign.text;
  }
  return "this";
}

Lexer::Lexer(const Source& source, Diagnostics& diagnostics)
    : source_(source), diagnostics_(diagnostics), text_(source.text()) {
  if (text_.size() > kMaxScriptBytes) {
    diagnostics_.add({.code = Code::script_too_large, .span = {0, 0},
                      .message = fmt::format("the script has {} bytes; a script may have {}", text_.size(), kMaxScriptBytes)});
    text_ = {};
    return;
  }
  if (text_.starts_with("\xef\xbb\xbf")) offset_ = 3;  // a byte order mark
  check_bytes();
}

void Lexer::check_bytes() {
  for (std::uint32_t i = 0; i < text_.size();) {
    if (text_[i] == '\0') {
      const auto begin = i;
      while (i < text_.size() && text_[i] == '\0') ++i;
      diagnostics_.add({.code = Code::nul_byte, .span = {begin, i},
                        .message = i - begin == 1 ? "there is a NUL byte in the script" : fmt::format("there are {} NUL bytes in the script", i - begin),
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
    diagnostics_.add({.code = Code::invalid_utf8, .span = {begin, i}, .message = "these bytes are not UTF-8",
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
        diagnostics_.add({.code = Code::unterminated_comment, .span = {begin, begin + 2},
                          .message = "this comment has no end", .label = "begins here", .expected = "*/ before the end of the script"});
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
      hold(token, {.code = Code::bad_sign, .span = token.span, .message = "a channel needs a name", .expected = "#name", .hint = "comments begin with //"});
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
  Diagnostic problem{.code = Code::unexpected_character, .message = "this character has no meaning here"};
  const char c = at();
  if (c == '$' && is_letter(at(1))) {
    ++offset_;
    while (is_word(at())) ++offset_;
    token.span.end = offset_;
    problem.message = "names have no $ here";
    problem.hint = "declare a variable with `let`";
    const auto name = std::string(text_.substr(token.span.begin + 1, token.span.size() - 1));
    problem.fix = Fix{token.span, name, "write " + name};
    token.kind = TokenKind::name;  // parse on with the name
    problem.span = token.span;
    token.span.begin += 1;
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
        const auto decoded = unquote(fmt::format("\"{}\"", body));
        token.kind = TokenKind::integer;
        token.value = decoded.empty() ? 0 : decode_utf8(decoded).code;
        return token;
      }
    }
    while (!ended() && at() != '\'' && at() != '\n' && at() != '\r') ++offset_;
    const bool closed = at() == '\'';
    const auto body = std::string(text_.substr(token.span.begin + 1, offset_ - token.span.begin - 1));
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
  if (first.code < 0x80) {
    ++offset_;
  } else {
    // One diagnostic for a run of such characters.
    while (!ended() && static_cast<unsigned char>(at()) >= 0x80) offset_ += decode_utf8(text_.substr(offset_)).bytes;
  }
  token.span.end = offset_;
  problem.span = token.span;
  switch (first.code) {
    case 0x201c: case 0x201d: case 0x201e: case 0x00ab: case 0x00bb:
      problem.message = "typographic quotes are not quotes";
      problem.fix = Fix{token.span, "\"", "write \""};
      break;
    case 0x2018: case 0x2019:
      problem.message = "typographic quotes are not quotes";
      problem.fix = Fix{token.span, "'", "write '"};
      break;
    case 0x00a0: case 0x2003: case 0x2009: case 0x202f: case 0x3000: case 0x200b: case 0xfeff:
      problem.message = fmt::format("this is not a space but U+{:04X}", static_cast<unsigned>(first.code));
      problem.fix = Fix{token.span, " ", "write a space"};
      break;
    case 0x2013: case 0x2014: case 0x2212:
      problem.message = "this is a typographic dash, not a minus";
      problem.fix = Fix{token.span, "-", "write -"};
      break;
    case '\\': problem.hint = "lines need no continuation: newlines are free"; break;
    case '`': problem.hint = "text stands in double quotes"; break;
    default:
      if (first.code >= 0x80) problem.hint = "names are made of A-Z, a-z, 0-9 and _";
      break;
  }
  hold(token, std::move(problem));
  return token;
}

Token Lexer::number(Token token) {
  const auto begin = offset_;
  while (is_word(at())) ++offset_;
  token.kind = TokenKind::integer;
  token.span.end = offset_;
  auto digits = text_.substr(begin, offset_ - begin);
  const auto bad = [&](std::string message, std::string hint = {}, std::optional<Fix> fix = {}) {
    Diagnostic problem{.code = Code::bad_number, .span = token.span, .message = std::move(message), .hint = std::move(hint), .fix = std::move(fix)};
    hold(token, std::move(problem));
  };

  if (at() == '.' && is_digit(at(1))) {
    ++offset_;
    const auto fraction = offset_;
    while (is_word(at())) ++offset_;
    token.span.end = offset_;
    // 1.5s is 1500ms: say so.
    std::size_t length = 0;
    while (length < offset_ - fraction && is_digit(text_[fraction + length])) ++length;
    const auto suffix = text_.substr(fraction + length, offset_ - fraction - length);
    std::optional<Fix> fix;
    constexpr std::array<std::array<std::string_view, 2>, 3> kFiner{{{"s", "ms"}, {"ms", "us"}, {"us", "ns"}}};
    for (const auto& [from, to] : kFiner) {
      if (suffix != from || length > 3 || digits.size() > 12) continue;
      std::string whole(digits);
      whole += text_.substr(fraction, length);
      whole.append(3 - length, '0');
      const auto first = whole.find_first_not_of('0');
      const auto text = (first == std::string::npos ? "0" : whole.substr(first)) + std::string(to);
      fix = Fix{token.span, text, "write " + text};
    }
    if (!suffix.empty()) token.kind = TokenKind::duration;
    bad("there are no fractions", fix ? "" : "use a smaller unit", std::move(fix));
    return token;
  }

  unsigned base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = digits[1];
    base = mark == 'x' || mark == 'X' ? 16 : mark == 'b' || mark == 'B' ? 2 : mark == 'o' ? 8 : 10;
    if (base != 10) digits.remove_prefix(2);
  }
  std::size_t used = 0;
  std::uint64_t value = 0;
  bool overflow = false;
  bool any = false;
  for (; used < digits.size(); ++used) {
    if (digits[used] == '_') continue;
    const int digit = hex_digit(digits[used]);
    if (digit < 0 || static_cast<unsigned>(digit) >= base) break;
    any = true;
    std::uint64_t next = 0;
    overflow = overflow || __builtin_mul_overflow(value, base, &next) ||
               __builtin_add_overflow(next, static_cast<std::uint64_t>(digit), &next);
    value = next;
  }
  const auto suffix = digits.substr(used);
  if (!any) {
    bad(fmt::format("{} has no digits", text_.substr(begin, 2)));
    return token;
  }
  if (!suffix.empty()) {
    const Unit* unit = nullptr;
    if (base == 10) {
      for (const auto& candidate : kUnits) {
        if (candidate.suffix == suffix) unit = &candidate;
      }
    }
    if (unit == nullptr) {
      bool all_hex = base == 10;
      for (const char c : digits) all_hex = all_hex && hex_digit(c) >= 0;
      const auto text = "0x" + std::string(digits);
      if (all_hex) {
        bad("hexadecimal numbers begin with 0x", {}, Fix{token.span, text, "write " + text});
      } else if (base != 10) {
        bad(fmt::format("`{}` is no digit in base {}", suffix.substr(0, 1), base));
      } else {
        const auto kept = suffix == "ul" || suffix == "u" || suffix == "l" || suffix == "ull" || suffix == "UL" || suffix == "U" || suffix == "L" || suffix == "ULL";
        const auto plain = std::string(digits.substr(0, used));
        if (kept) bad("numbers have no suffix here: all have 64 bits", {}, Fix{token.span, plain, "write " + plain});
        else bad(fmt::format("`{}` is not a unit", suffix), "units are ns us ms s m h d");
      }
      return token;
    }
    token.kind = TokenKind::duration;
    overflow = overflow || __builtin_mul_overflow(value, unit->nanoseconds, &value) || value > INT64_MAX;
  }
  token.value = value;
  if (overflow) {
    token.value = 0;
    hold(token, {.code = Code::number_too_large, .span = token.span,
                 .message = token.kind == TokenKind::duration ? "the duration is too long" : "the number does not fit 64 bits",
                 .hint = token.kind == TokenKind::duration ? "at most 292 years" : "at most 0xffffffffffffffff"});
  } else if (base == 10 && digits.size() > 1 && digits[0] == '0' && is_digit(digits[1])) {
    hold(token, {.code = Code::leading_zero, .span = token.span,
                 .message = fmt::format("{} is decimal {}: a leading zero does not make it octal", digits, value),
                 .hint = "octal is 0o17, hexadecimal 0x1f"});
  }
  return token;
}

Token Lexer::string(Token token) {
  token.kind = TokenKind::string;
  ++offset_;
  for (;;) {
    if (ended() || at() == '\n' || at() == '\r') {
      token.span.end = offset_;
      hold(token, {.code = Code::unterminated_string, .span = token.span, .message = "this string has no end",
                   .expected = "\" before the end of the line", .hint = "a newline in a string is written \\n"});
      return token;
    }
    const char c = at();
    if (c == '"') {
      ++offset_;
      token.span.end = offset_;
      return token;
    }
    if (c != '\\') {
      ++offset_;
      continue;
    }
    const auto begin = offset_;
    const char escape = at(1);
    std::uint32_t length = 2;
    bool good = std::string_view("ntr0\\\"'e").find(escape) != std::string_view::npos && escape != '\0';
    if (escape == 'x') {
      good = hex_digit(at(2)) >= 0 && hex_digit(at(3)) >= 0;
      length = good ? 4 : 2;
    } else if (escape == 'u') {
      std::uint32_t digits = 0;
      while (hex_digit(at(3 + digits)) >= 0 && digits < 7) ++digits;
      good = at(2) == '{' && digits >= 1 && digits <= 6 && at(3 + digits) == '}';
      if (good) {
        std::uint32_t code = 0;
        for (std::uint32_t i = 0; i < digits; ++i) code = code * 16 + static_cast<std::uint32_t>(hex_digit(at(3 + i)));
        good = code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000);
      }
      length = good ? 4 + digits : 2;
    }
    if (escape == '\n' || escape == '\r' || offset_ + 1 >= text_.size()) {
      ++offset_;
      continue;  // the unterminated string is told
    }
    if (!good && token.problem == 0) {
      const auto wide = decode_utf8(text_.substr(begin + 1)).bytes;
      hold(token, {.code = Code::bad_escape, .span = {begin, begin + 1 + wide},
                   .message = fmt::format("there is no escape {}", text_.substr(begin, 1U + wide)),
                   .expected = "\\n \\t \\r \\0 \\\\ \\\" \\xHH \\u{HHHH}",
                   .fix = Fix{{begin, begin + 1}, "\\\\", "write \\\\ for a backslash"}});
      length = 1U + wide;
    }
    offset_ += length;
  }
}

std::string Lexer::unquote(std::string_view token) {
  std::string out;
  if (!token.empty() && token.front() == '"') token.remove_prefix(1);
  for (std::size_t i = 0; i < token.size(); ++i) {
    const char c = token[i];
    if (c == '"') break;
    if (c != '\\' || i + 1 >= token.size()) {
      out += c;
      continue;
    }
    const char escape = token[++i];
    switch (escape) {
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case 'r': out += '\r'; break;
      case '0': out += '\0'; break;
      case 'e': out += '\x1b'; break;
      case 'x':
        if (i + 2 < token.size() && hex_digit(token[i + 1]) >= 0 && hex_digit(token[i + 2]) >= 0) {
          out += static_cast<char>(hex_digit(token[i + 1]) * 16 + hex_digit(token[i + 2]));
          i += 2;
        }
        break;
      case 'u': {
        char32_t code = 0;
        std::size_t j = i + 2;
        while (j < token.size() && hex_digit(token[j]) >= 0 && j < i + 8) code = code * 16 + static_cast<char32_t>(hex_digit(token[j++]));
        if (j < token.size() && token[j] == '}' && code <= 0x10ffff) {
          append_utf8(out, code);
          i = j;
        }
        break;
      }
      default: out += escape; break;
    }
  }
  return out;
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
    return is_word(c) || std::string_view("/.-+~%=").find(c) != std::string_view::npos || static_cast<unsigned char>(c) >= 0x80;
  });
}

std::optional<Token> Lexer::read_mac(const Token& token) {
  return reread(token, [](char c, std::uint32_t) { return is_word(c) || c == ':' || c == '-'; });
}

std::optional<Token> Lexer::read_bare_address(const Token& token) {
  if (token.kind != TokenKind::name && token.kind != TokenKind::integer && token.kind != TokenKind::duration) return std::nullopt;
  std::uint32_t digits = 0;
  std::uint64_t value = 0;
  while (token.span.begin + digits < text_.size() && hex_digit(text_[token.span.begin + digits]) >= 0 && digits < 9) {
    value = value * 16 + static_cast<std::uint64_t>(hex_digit(text_[token.span.begin + digits]));
    ++digits;
  }
  if (digits != 8 || (token.span.begin + 8 < text_.size() && is_word(text_[token.span.begin + 8]))) return std::nullopt;
  auto raw = reread(token, [&](char, std::uint32_t at) { return at < token.span.begin + 8; });
  if (raw) raw->value = value;
  return raw;
}

}  // namespace vitrine::vmipl
