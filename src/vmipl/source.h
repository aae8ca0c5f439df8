// Source: one script's text, and where in it a byte stands.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::vmipl {

/// Bytes [begin, end) of a source.
struct Span {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;

  [[nodiscard]] constexpr bool empty() const { return begin >= end; }
  [[nodiscard]] constexpr std::uint32_t size() const { return empty() ? 0 : end - begin; }
  /// The least span that holds both.
  [[nodiscard]] constexpr Span to(Span other) const {
    return {begin < other.begin ? begin : other.begin, end > other.end ? end : other.end};
  }
  bool operator==(const Span&) const = default;
};

/// As people and editors count: from 1; a column is a character, not a byte.
struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  bool operator==(const Position&) const = default;
};

/// Scripts larger than this are refused (E006): no script that people write comes near.
inline constexpr std::size_t kMaxScriptBytes = 1024 * 1024;

/// A newline is \n, \r\n or \r, mixed at will. The text may be any bytes.
class Source {
 public:
  Source(std::string name, std::string text);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  [[nodiscard]] std::string_view text(Span span) const noexcept;

  [[nodiscard]] std::uint32_t lines() const noexcept {
    return static_cast<std::uint32_t>(starts_.size());
  }
  /// Of a line (from 1), without its newline. Outside the text: empty.
  [[nodiscard]] Span line_span(std::uint32_t line) const noexcept;
  /// Cost: a binary search, and a pass over the part of the line before `offset`.
  [[nodiscard]] Position position(std::uint32_t offset) const noexcept;
  [[nodiscard]] std::uint32_t line_of(std::uint32_t offset) const noexcept;

 private:
  std::string name_;
  std::string text_;
  std::vector<std::uint32_t> starts_;  // of each line
};

/// One character of UTF-8, or one byte that is none.
struct Character {
  char32_t code = 0;
  std::uint8_t bytes = 1;
  bool valid = true;
};
/// The character at the start of `text`, which is not empty. Overlong forms, surrogates and
/// values beyond U+10FFFF are not valid, and take one byte.
[[nodiscard]] Character decode_utf8(std::string_view text) noexcept;
void append_utf8(std::string& to, char32_t code);
/// Terminal cells: 0 for combining marks, 2 for wide East Asian characters and emoji.
[[nodiscard]] unsigned display_width(char32_t code) noexcept;

}  // namespace vitrine::vmipl
