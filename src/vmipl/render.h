// Diagnostics for people (text) and for programs (JSON).
#pragma once

#include <string>

#include "vmipl/diagnostic.h"
#include "vmipl/source.h"

namespace vitrine::vmipl {

struct RenderOptions {
  bool colour = false;
  unsigned width = 100;  ///< cells; longer lines are cut around the span
};

/// One diagnostic, with its line underlined:
///
///   trace.vmi:3:1: error E050: there is no probe called Syscal
///     3 | Syscal(openat) {
///       | ^^^^^^ did you mean Syscall?
///       = fix: write Syscall
///
/// Control characters and broken UTF-8 of the script are shown as \x1b: a script cannot
/// speak to the terminal through a diagnostic.
[[nodiscard]] std::string render_text(const Source& source, const Diagnostic& diagnostic,
                                      const RenderOptions& options = {});
/// All of them, and a closing line that counts: "2 errors, 1 warning". Nothing for none.
[[nodiscard]] std::string render_text(const Source& source, const Diagnostics& diagnostics,
                                      const RenderOptions& options = {});
/// One JSON object a line: type ("diagnostic"), file, line, column, end_line, end_column, severity,
/// code, name, message, label, expected, hint, fix {line, column, end_line, end_column, text},
/// notes.
[[nodiscard]] std::string render_json(const Source& source, const Diagnostics& diagnostics);

/// A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);

}  // namespace vitrine::vmipl
