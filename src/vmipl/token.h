// Tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vmipl/source.h"

namespace vitrine::vmipl {

enum class TokenKind : std::uint8_t {
  end,
  bad,
  name,
  integer,
  duration,
  string,
  channel,
  map,
  left_brace,
  right_brace,
  left_paren,
  right_paren,
  left_bracket,
  right_bracket,
  comma,
  semicolon,
  colon,
  question,
  dot,
  range,
  arrow,
  assign,
  add_assign,
  sub_assign,
  mul_assign,
  div_assign,
  rem_assign,
  and_assign,
  or_assign,
  xor_assign,
  shl_assign,
  shr_assign,
  increment,
  decrement,
  plus,
  minus,
  star,
  slash,
  percent,
  amp,
  pipe,
  caret,
  tilde,
  bang,
  shl,
  shr,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  and_and,
  or_or,
  raw,  // read at the parser's wish: a path, a MAC address, eight hexadecimal digits
};

struct Token {
  TokenKind kind = TokenKind::end;
  bool first_on_line = false;
  bool broken = false;        ///< a number of which nothing can be told but its problem
  std::uint32_t problem = 0;  ///< what the lexer has to say of it: index + 1
  Span span;
  std::uint64_t value = 0;  ///< integer; duration in nanoseconds
};

/// "`{`", "a name", "the end of the script".
[[nodiscard]] std::string_view describe(TokenKind kind) noexcept;

}  // namespace vitrine::vmipl
