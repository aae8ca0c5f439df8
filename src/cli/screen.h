// Screen: the terminal as a live display, given back as it was found.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"

namespace vitrine::cli {

/// The alternate screen, keys one at a time, no echo. However the program ends (its own
/// end, a signal, a crash, Ctrl-Z), the terminal is put back first. One at a time.
class Screen {
 public:
  /// Both ends are a terminal, and one that moves its cursor ($TERM is not "dumb").
  [[nodiscard]] static bool possible();

  /// @returns unsupported  it is not possible()
  [[nodiscard]] static Outcome<Screen> open();

  Screen(Screen&& other) noexcept;
  Screen& operator=(Screen&&) = delete;
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();

  struct Size {
    unsigned columns = 80, rows = 24;
  };
  [[nodiscard]] static Size size();

  /// Draws these lines from the top; lines beyond the screen's end are left out. Lines
  /// must fit; they are not wrapped.
  void draw(const std::vector<std::string>& lines) const;

  enum Key : int {
    kNone = 0,
    kUp = 256,
    kDown,
    kPageUp,
    kPageDown,
    kHome,
    kEnd,
    kResized,
    kClosed
  };
  /// The next key (an ASCII code or a Key), kNone after `timeout_ms`, kResized if the
  /// terminal has another size now, kClosed if there is no input any more.
  [[nodiscard]] int key(int timeout_ms) const;

 private:
  Screen() = default;
  bool owner_ = true;
};

}  // namespace vitrine::cli
