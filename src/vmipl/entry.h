// An entry of the interactive prompt, and the script that it becomes.
//
// What is typed is an item (an event probe, const, fn ...), a statement, or an expression whose
// value is wanted. Declarations are kept for the entries to come.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vmipl/check.h"
#include "vmipl/diagnostic.h"
#include "vmipl/ports.h"
#include "vmipl/source.h"

namespace vitrine::vmipl {

/// The name that `const` or `fn` declares; empty: it is no declaration.
[[nodiscard]] std::string_view declared_name(std::string_view entry);

/// Brackets, a string or a comment are open at the end: more lines belong to it.
[[nodiscard]] bool is_unfinished(std::string_view entry);

class Entry {
 public:
  enum Kind { empty, declaration, probes, statement, expression };

  /// Understands `text` upon the declarations made before.
  Entry(std::string text, const std::vector<std::string>& declarations,
        const CheckOptions& options);

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  /// The entry as it was typed, and the declarations behind it: where diagnostics() are.
  [[nodiscard]] const Source& source() const noexcept { return source_; }
  [[nodiscard]] const Diagnostics& diagnostics() const noexcept { return diagnostics_; }
  /// What it checked to; the program is there if nothing was wrong.
  [[nodiscard]] const Checked& checked() const noexcept { return checked_; }
  /// It begins and ends with its Start: nothing is waited for.
  [[nodiscard]] bool runs_once() const;

 private:
  struct Attempt;
  void take(Attempt attempt, Kind kind);

  std::string text_;
  Kind kind_ = empty;
  Source source_;
  Diagnostics diagnostics_;
  Checked checked_;
};

}  // namespace vitrine::vmipl
