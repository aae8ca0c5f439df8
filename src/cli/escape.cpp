#include "cli/escape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace vitrine::cli {
namespace {

struct Range {
  char32_t first, last;
  int columns;
};

constexpr Range kShown[] = {
#include "cli/unicode_ranges.inc"
};

constexpr unsigned kMostMarks = 4;

void append_bytes(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) {
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(byte));
  }
}

}  // namespace

CodePoint decode(std::string_view text) noexcept {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {first, 1, true};
  const unsigned length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return {first, 1, false};
  char32_t value = first & (0x7FU >> length);
  for (unsigned i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return {first, 1, false};
    value = value << 6 | (byte(i) & 0x3FU);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
    return {first, 1, false};
  }
  return {value, length, true};
}

bool valid_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const auto code = decode(text);
    if (!code.valid) return false;
    text.remove_prefix(code.length);
  }
  return true;
}

int columns_of(char32_t code) noexcept {
  if (code >= 0x20 && code < 0x7F) return 1;
  const auto* range = std::ranges::lower_bound(kShown, code, {}, &Range::last);
  return range != std::end(kShown) && code >= range->first ? range->columns : -1;
}

std::string escape(std::string_view bytes, Charset charset) {
  std::string out;
  out.reserve(bytes.size());
  unsigned marks = kMostMarks;  // a mark needs a letter first
  while (!bytes.empty()) {
    const auto code = decode(bytes);
    const auto raw = bytes.substr(0, code.length);
    bytes.remove_prefix(code.length);
    const int columns = code.valid ? columns_of(code.value) : -1;
    const bool foreign = charset == Charset::ascii && code.value >= 0x80;
    if (code.value == '\\') {
      out += "\\\\";
      marks = kMostMarks;
    } else if (columns > 0 && !foreign) {
      out += raw;
      marks = code.value == ' ' ? kMostMarks : 0;
    } else if (columns == 0 && !foreign && marks < kMostMarks) {
      out += raw;
      ++marks;
    } else {
      append_bytes(out, raw);
      marks = kMostMarks;
    }
  }
  return out;
}

unsigned display_width(std::string_view escaped) noexcept {
  unsigned width = 0;
  while (!escaped.empty()) {
    const auto code = decode(escaped);
    width += static_cast<unsigned>(std::max(columns_of(code.value), 0));
    escaped.remove_prefix(code.length);
  }
  return width;
}

std::string shorten(std::string_view escaped, unsigned width, Charset charset) {
  if (escaped.size() <= width || display_width(escaped) <= width) return std::string(escaped);
  const std::string_view ellipsis = charset == Charset::utf8 ? "…" : "..";
  const unsigned mark = charset == Charset::utf8 ? 1 : 2;
  if (width < mark) return std::string(width, '.');
  std::string out;
  unsigned used = mark;
  while (!escaped.empty()) {
    const auto code = decode(escaped);
    used += static_cast<unsigned>(std::max(columns_of(code.value), 0));
    if (used > width) break;
    out += escaped.substr(0, code.length);
    escaped.remove_prefix(code.length);
  }
  return out += ellipsis;
}

std::string shorten_middle(std::string_view escaped, unsigned width, Charset charset) {
  if (escaped.size() <= width || display_width(escaped) <= width) return std::string(escaped);
  const unsigned tail = width / 2;
  auto out = shorten(escaped, width - tail, charset);
  // The longest end that fits, and no mark without its letter.
  std::size_t from = escaped.size();
  unsigned used = 0;
  while (from > 0) {
    auto start = from - 1;
    while (start > 0 && (static_cast<unsigned char>(escaped[start]) & 0xC0U) == 0x80) --start;
    const auto columns =
        static_cast<unsigned>(std::max(columns_of(decode(escaped.substr(start)).value), 0));
    if (used + columns > tail) break;
    used += columns;
    from = start;
  }
  while (from < escaped.size() && columns_of(decode(escaped.substr(from)).value) == 0) {
    from += decode(escaped.substr(from)).length;
  }
  return out.append(escaped.substr(from));
}

void append_json(std::string& out, std::string_view text) {
  const auto unit = [&](unsigned value) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", value);
  };
  out += '"';
  while (!text.empty()) {
    const auto code = decode(text);
    const auto value = static_cast<std::uint32_t>(code.value);
    switch (value) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (!code.valid) {
          unit(0xFFFD);  // not reached: callers pass valid text
        } else if (columns_of(code.value) >= 0) {
          out += text.substr(0, code.length);
        } else if (value < 0x10000) {
          unit(value);
        } else {
          unit(0xD800 + ((value - 0x10000) >> 10));
          unit(0xDC00 + ((value - 0x10000) & 0x3FF));
        }
    }
    text.remove_prefix(code.length);
  }
  out += '"';
}

std::string escape_invalid(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const auto code = decode(bytes);
    const auto raw = bytes.substr(0, code.length);
    bytes.remove_prefix(code.length);
    if (!code.valid) {
      append_bytes(out, raw);
    } else if (code.value == '\\') {
      out += "\\\\";
    } else {
      out += raw;
    }
  }
  return out;
}

}  // namespace vitrine::cli
