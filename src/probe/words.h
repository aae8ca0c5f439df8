// Values in words: for people (%s, tables of maps) and as JSON.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "probe/value.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// How the face of the program shows bytes that a guest chose. Who sets none gets ASCII: what
/// is not printable is \xNN.
struct TextRules {
  /// For a terminal.
  std::function<std::string(std::string_view)> escape;
  /// Appends a JSON string. @returns false if the bytes are no UTF-8, and so were escaped
  std::function<bool(std::string&, std::string_view)> json;
  /// The name of a code address, for stacks; empty: none known.
  std::function<std::string(std::uint64_t)> symbol;
  bool utf8 = false;     ///< bars of blocks, not of @
  unsigned width = 100;  ///< columns
};
/// With what is missing of it filled in.
[[nodiscard]] TextRules complete(TextRules rules);

/// 1.5ms, 2m03s: three digits at most, below a minute; "-" before a negative one.
[[nodiscard]] std::string duration_words(std::int64_t nanoseconds);
/// 2026-11-22T06:19:00.123456Z
[[nodiscard]] std::string time_words(std::int64_t nanoseconds);

/// As %s prints it: 42, -1, true, 0xffffffff81000000, 1.5ms, text, ?. A stack takes a line each.
[[nodiscard]] std::string words(const ValueView& value, vmipl::ValueType type,
                                const TextRules& rules);

/// Appends it as docs/output.md says. @returns false if text was escaped
bool append_json(std::string& out, const ValueView& value, vmipl::ValueType type,
                 const TextRules& rules);

/// Columns that shown text takes; `text` is valid UTF-8 (what `escape` gave).
[[nodiscard]] unsigned columns_of(std::string_view text);

/// A print format with its values. Formats were checked: each directive fits its value.
[[nodiscard]] std::string format_text(std::string_view format, std::span<const Value> values,
                                      std::span<const vmipl::ValueType> types,
                                      const TextRules& rules);

}  // namespace vitrine::probe
