#include "vmipl/source.h"

#include <algorithm>

namespace vitrine::vmipl {

Source::Source(std::string name, std::string text)
    : name_(std::move(name)), text_(std::move(text)) {
  starts_.push_back(0);
  for (std::size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\r' && i + 1 < text_.size() && text_[i + 1] == '\n') ++i;
    if (text_[i] == '\n' || text_[i] == '\r') starts_.push_back(static_cast<std::uint32_t>(i + 1));
  }
}

std::string_view Source::text(Span span) const noexcept {
  if (span.begin >= text_.size()) return {};
  return std::string_view(text_).substr(span.begin, span.size());
}

std::uint32_t Source::line_of(std::uint32_t offset) const noexcept {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), offset);
  return static_cast<std::uint32_t>(after - starts_.begin());
}

Span Source::line_span(std::uint32_t line) const noexcept {
  if (line == 0 || line > starts_.size()) return {};
  const auto begin = starts_[line - 1];
  auto end = line < starts_.size() ? starts_[line] : static_cast<std::uint32_t>(text_.size());
  while (end > begin && (text_[end - 1] == '\n' || text_[end - 1] == '\r')) --end;
  return {begin, end};
}

Position Source::position(std::uint32_t offset) const noexcept {
  offset = std::min(offset, static_cast<std::uint32_t>(text_.size()));
  Position position{line_of(offset), 1};
  for (std::uint32_t at = starts_[position.line - 1]; at < offset;) {
    at += decode_utf8(std::string_view(text_).substr(at)).bytes;
    ++position.column;
  }
  return position;
}

Character decode_utf8(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  const unsigned length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const Character broken{first, 1, false};
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return broken;
  char32_t code = first & (0x7fU >> length);
  for (unsigned i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return broken;
    code = (code << 6) | (byte(i) & 0x3f);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return broken;
  return {code, static_cast<std::uint8_t>(length), true};
}

void append_utf8(std::string& to, char32_t code) {
  const auto put = [&](char32_t bits) { to.push_back(static_cast<char>(bits)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | (code >> 6));
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3f));
    put(0x80 | ((code >> 6) & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

// Unicode 15, Standard Annex 11 (East Asian Width), the blocks that occur; good enough to
// put an underline beneath its word.
unsigned display_width(char32_t code) noexcept {
  struct Block {
    char32_t first, last;
  };
  constexpr Block kZero[] = {
      {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},    {0x610, 0x61a},   {0x64b, 0x65f},
      {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},  {0x20d0, 0x20ff}, {0xfe00, 0xfe0f},
      {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef}};
  constexpr Block kWide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},
                             {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},
                             {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
                             {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
                             {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
  if (code < 0x300) return 1;
  for (const auto& block : kZero) {
    if (code >= block.first && code <= block.last) return 0;
  }
  for (const auto& block : kWide) {
    if (code >= block.first && code <= block.last) return 2;
  }
  return 1;
}

}  // namespace vitrine::vmipl
