// Text of a guest, made safe to show.
//
// A guest chooses its own names, and names are bytes: escape sequences that drive the
// examiner's terminal, bidi overrides that reverse a line, invisible letters. One rule
// for tables and CSV (docs/output.md): what is not plainly visible is written byte by
// byte as \xNN, and a backslash as \\, so that the bytes can be had back.
#pragma once

#include <string>
#include <string_view>

namespace vitrine::cli {

enum class Charset { ascii, utf8 };

/// One code point at the start of `text`.
struct CodePoint {
  char32_t value = 0;
  unsigned length = 1;  ///< bytes; 1 for a byte that starts none
  bool valid = false;   ///< strict UTF-8: no overlong forms, no surrogates
};

/// `text` must not be empty.
[[nodiscard]] CodePoint decode(std::string_view text) noexcept;
[[nodiscard]] bool valid_utf8(std::string_view text) noexcept;

/// Columns a terminal gives this code point: 0 (a combining mark), 1 or 2; -1 if it is
/// not to be shown (control, format, invisible, unassigned).
[[nodiscard]] int columns_of(char32_t code) noexcept;

/// What a terminal may be shown of these bytes. At most four combining marks in a row
/// are let through, and none without a letter before it.
[[nodiscard]] std::string escape(std::string_view bytes, Charset charset);

/// Columns that escaped text takes.
[[nodiscard]] unsigned display_width(std::string_view escaped) noexcept;

/// `escaped`, or its beginning and an ellipsis, in at most `width` columns.
[[nodiscard]] std::string shorten(std::string_view escaped, unsigned width, Charset charset);

/// As shorten(), but what is left out lies in the middle: a path keeps its file, an
/// address its port.
[[nodiscard]] std::string shorten_middle(std::string_view escaped, unsigned width, Charset charset);

/// `text` in quotes, as JSON. It must be valid UTF-8; what a terminal should not see is
/// written \uNNNN, so that JSON is as safe to look at as a table.
void append_json(std::string& out, std::string_view text);

/// Any bytes as valid UTF-8: a byte that belongs to no code point becomes the four
/// characters \xNN, and a backslash two.
[[nodiscard]] std::string escape_invalid(std::string_view bytes);

}  // namespace vitrine::cli
