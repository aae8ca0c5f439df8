// LineEditor: lines that a person types, with history and completion, or that a pipe brings.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::cli {

class LineEditor {
 public:
  struct Completions {
    std::size_t replaces = 0;  ///< bytes before the cursor that the words stand for
    std::vector<std::string> words;
  };
  using Completer = std::function<Completions(std::string_view before_cursor)>;

  /// On a terminal by libedit, emacs' or vi's keys as ~/.editrc says; otherwise plain lines.
  /// @param history_file  read now, written at the end; empty: none is kept
  LineEditor(std::string history_file, Completer complete);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// The next line, without its newline. Nothing: the end (Ctrl-D, the pipe's).
  /// `cancelled()` tells that Ctrl-C gave it up.
  [[nodiscard]] std::optional<std::string> line(std::string_view prompt);
  [[nodiscard]] bool cancelled() const;
  void remember(const std::string& entry);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// $XDG_STATE_HOME/vitrine/NAME, or ~/.local/state/vitrine/NAME, its folder made; empty if neither
/// can be.
[[nodiscard]] std::string state_file(std::string_view name);

}  // namespace vitrine::cli
