// Diagnostics: what is wrong with a script, where, and what to write instead.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmipl/codes.h"
#include "vmipl/source.h"

namespace vitrine::vmipl {

/// Put `text` in place of `span`, and this mistake is gone. `words` say so to people:
/// "write Syscall".
struct Fix {
  Span span;
  std::string text;
  std::string words;
};

/// Another place that belongs to the story: "first written here".
struct Note {
  Span span;
  std::string text;
};

struct Diagnostic {
  Code code{};
  Span span;
  std::string message;   ///< one sentence, no full stop: "there is no probe called Syscal"
  std::string label;     ///< beside the underline; few words; may be empty
  std::string expected;  ///< "a duration such as 1s"; may be empty
  std::string hint;      ///< what to do; may be empty
  std::optional<Fix> fix;
  std::vector<Note> notes;
  unsigned more = 0;  ///< places with the very same mistake that are not told one by one

  [[nodiscard]] Severity severity() const { return info(code).severity; }
  [[nodiscard]] bool is_error() const { return severity() == Severity::error; }
};

/// Collects them. At most kMaxErrors errors are kept: what follows is noise.
class Diagnostics {
 public:
  static constexpr std::size_t kMaxErrors = 50;
  static constexpr std::size_t kMaxWarnings = 200;
  static constexpr unsigned kMostAlike = 3;  ///< errors of one wording that are told

  /// Nothing is added twice: same code, same place.
  void add(Diagnostic diagnostic);
  /// Drops what the script or the command line asked not to hear. `names` as in info(code).name.
  void silence(std::span<const std::string> names);
  /// Drops warnings called `names` within `where`.
  void silence(std::span<const std::string> names, Span where);
  /// By place. Call it once all are in.
  void sort();

  [[nodiscard]] const std::vector<Diagnostic>& items() const noexcept { return items_; }
  [[nodiscard]] std::size_t errors() const noexcept { return errors_; }
  [[nodiscard]] std::size_t warnings() const noexcept { return items_.size() - errors_; }
  /// Errors beyond kMaxErrors, counted and not kept.
  [[nodiscard]] std::size_t dropped() const noexcept { return dropped_; }

 private:
  std::vector<Diagnostic> items_;
  std::size_t errors_ = 0;
  std::size_t dropped_ = 0;
};

/// Finds what was meant by `word`: same letters in another case first, then few edits in
/// proportion to its length. Offer each candidate; then take best().
class Nearest {
 public:
  explicit Nearest(std::string_view word);
  void offer(std::string_view candidate);
  [[nodiscard]] const std::string& best() const noexcept { return best_; }
  [[nodiscard]] bool found() const noexcept { return !best_.empty(); }

 private:
  std::string word_, lower_;
  std::string best_;
  std::size_t distance_ = SIZE_MAX;
};

}  // namespace vitrine::vmipl
