// Numbers, durations and strings.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/characters.h"
#include "vmipl/lexer.h"

namespace vitrine::vmipl {
namespace {

struct Unit {
  std::string_view suffix;
  std::uint64_t nanoseconds;
};
constexpr auto kUnits = std::to_array<Unit>({{"ns", 1},
                                             {"us", 1'000},
                                             {"ms", 1'000'000},
                                             {"s", 1'000'000'000},
                                             {"m", 60'000'000'000},
                                             {"min", 60'000'000'000},
                                             {"h", 3'600'000'000'000},
                                             {"d", 86'400'000'000'000}});

/// A unit as people write it elsewhere, and ours; empty where a plain number is meant.
struct UnitHabit {
  std::string_view theirs, ours;
};
constexpr auto kUnitHabits = std::to_array<UnitHabit>(
    {{"sec", "s"},    {"secs", "s"},   {"second", "s"}, {"seconds", "s"}, {"S", "s"},
     {"msec", "ms"},  {"msecs", "ms"}, {"usec", "us"},  {"usecs", "us"},  {"nsec", "ns"},
     {"nsecs", "ns"}, {"mins", "min"}, {"minute", "m"}, {"minutes", "m"}, {"hr", "h"},
     {"hour", "h"},   {"hours", "h"},  {"day", "d"},    {"days", "d"},    {"hz", ""},
     {"Hz", ""},      {"hertz", ""}});

/// Of a number in C.
bool is_suffix(std::string_view word) {
  static constexpr auto kSuffixes =
      std::to_array<std::string_view>({"u", "U", "l", "L", "ul", "UL", "ll", "LL", "ull", "ULL"});
  return std::ranges::find(kSuffixes, word) != kSuffixes.end();
}

const Unit* find_unit(std::string_view suffix) {
  for (const auto& unit : kUnits) {
    if (unit.suffix == suffix) return &unit;
  }
  return nullptr;
}

}  // namespace

std::string_view Lexer::unit_called(std::string_view word) {
  if (const auto* unit = find_unit(word)) return unit->suffix;
  const auto habit = std::ranges::find(kUnitHabits, word, &UnitHabit::theirs);
  return habit == kUnitHabits.end() ? std::string_view() : habit->ours;
}

Token Lexer::number(Token token) {
  const auto begin = offset_;
  while (is_word(at())) ++offset_;
  token.kind = TokenKind::integer;
  token.span.end = offset_;
  auto digits = text_.substr(begin, offset_ - begin);
  const auto bad = [&](std::string message, std::string hint = {}, std::optional<Fix> fix = {}) {
    Diagnostic problem{.code = Code::bad_number,
                       .span = token.span,
                       .message = std::move(message),
                       .hint = std::move(hint),
                       .fix = std::move(fix)};
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
    constexpr std::array<std::array<std::string_view, 2>, 3> kFiner{
        {{"s", "ms"}, {"ms", "us"}, {"us", "ns"}}};
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
    token.broken = true;
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
    const Unit* unit = base == 10 ? find_unit(suffix) : nullptr;
    if (unit == nullptr) {
      bool all_hex = base == 10;
      for (const char c : digits) all_hex = all_hex && hex_digit(c) >= 0;
      const auto text = "0x" + std::string(digits);
      token.value = overflow ? 0 : value;
      token.broken = true;
      const auto habit = std::ranges::find(kUnitHabits, suffix, &UnitHabit::theirs);
      if (base == 10 && habit != kUnitHabits.end()) {
        const auto ours = fmt::format("{}{}", digits.substr(0, used), habit->ours);
        bad(habit->ours.empty()
                ? fmt::format("`{}` is not a unit: times a second are a number", suffix)
                : fmt::format("`{}` is not a unit", suffix),
            {}, Fix{token.span, ours, "write " + ours});
      } else if (all_hex) {
        bad("hexadecimal numbers begin with 0x", {}, Fix{token.span, text, "write " + text});
      } else if (base != 10 && !is_suffix(suffix)) {
        bad(fmt::format("`{}` is no digit in base {}", suffix.substr(0, 1), base));
      } else {
        const auto plain = std::string(text_.substr(begin, offset_ - begin - suffix.size()));
        if (is_suffix(suffix))
          bad("numbers have no suffix here: all have 64 bits", {},
              Fix{token.span, plain, "write " + plain});
        else
          bad(fmt::format("`{}` is not a unit", suffix), "units are ns us ms s m h d");
      }
      return token;
    }
    token.kind = TokenKind::duration;
    overflow =
        overflow || __builtin_mul_overflow(value, unit->nanoseconds, &value) || value > INT64_MAX;
  }
  token.value = value;
  if (overflow) {
    token.value = 0;
    token.broken = true;
    hold(token, {.code = Code::number_too_large,
                 .span = token.span,
                 .message = token.kind == TokenKind::duration ? "the duration is too long"
                                                              : "the number does not fit 64 bits",
                 .hint = token.kind == TokenKind::duration ? "at most 292 years"
                                                           : "at most 0xffffffffffffffff"});
  } else if (base == 10 && digits.size() > 1 && digits[0] == '0' && is_digit(digits[1])) {
    hold(token, {.code = Code::leading_zero,
                 .span = token.span,
                 .message = fmt::format("{} is decimal {}: a leading zero does not make it octal",
                                        digits, value),
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
      hold(token, {.code = Code::unterminated_string,
                   .span = token.span,
                   .message = "this string has no end",
                   .expected = "\" before the end of the line",
                   .hint = "a newline in a string is written \\n"});
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
    bool good =
        std::string_view("ntr0\\\"'e").find(escape) != std::string_view::npos && escape != '\0';
    if (escape == 'x') {
      good = hex_digit(at(2)) >= 0 && hex_digit(at(3)) >= 0;
      length = good ? 4 : 2;
    } else if (escape == 'u') {
      std::uint32_t digits = 0;
      while (hex_digit(at(3 + digits)) >= 0 && digits < 7) ++digits;
      good = at(2) == '{' && digits >= 1 && digits <= 6 && at(3 + digits) == '}';
      if (good) {
        std::uint32_t code = 0;
        for (std::uint32_t i = 0; i < digits; ++i)
          code = code * 16 + static_cast<std::uint32_t>(hex_digit(at(3 + i)));
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
      hold(token, {.code = Code::bad_escape,
                   .span = {begin, begin + 1 + wide},
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
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case 'r':
        out += '\r';
        break;
      case '0':
        out += '\0';
        break;
      case 'e':
        out += '\x1b';
        break;
      case 'x':
        if (i + 2 < token.size() && hex_digit(token[i + 1]) >= 0 && hex_digit(token[i + 2]) >= 0) {
          out += static_cast<char>(hex_digit(token[i + 1]) * 16 + hex_digit(token[i + 2]));
          i += 2;
        }
        break;
      case 'u': {
        char32_t code = 0;
        std::size_t j = i + 2;
        while (j < token.size() && hex_digit(token[j]) >= 0 && j < i + 8)
          code = code * 16 + static_cast<char32_t>(hex_digit(token[j++]));
        if (j < token.size() && token[j] == '}' && code <= 0x10ffff) {
          append_utf8(out, code);
          i = j;
        }
        break;
      }
      default:
        out += escape;
        break;
    }
  }
  return out;
}

}  // namespace vitrine::vmipl
