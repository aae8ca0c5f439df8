// LookWish: when a guard asks its FVM for a look out of turn, after words that something happened.
#pragma once

#include <chrono>
#include <optional>

namespace vitrine::fvm {

/// Words come in any number; wishes do not. The first word is a wish at once, what comes soon
/// after it is served by the second wish, and that again by nobody's word: what an event begins
/// (a program that has been executed, a module that has been loaded) it does a moment later.
class LookWish {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kAgain{300};

  /// Something was said.
  void hear(Time now) {
    if (!again_) due_ = now, is_due_ = true;
    last_ = now;
  }
  /// Whether to wish for a look now; once.
  [[nodiscard]] bool take(Time now) {
    if (!is_due_ || now < due_) return false;
    again_ = !again_ || last_ > asked_;
    is_due_ = again_;
    due_ = now + kAgain;
    asked_ = now;
    return true;
  }
  [[nodiscard]] std::optional<Time> next() const {
    return is_due_ ? std::optional(due_) : std::nullopt;
  }

 private:
  Time due_{}, last_{}, asked_{};
  bool is_due_ = false;
  bool again_ = false;  ///< due_ is a second look's
};

}  // namespace vitrine::fvm
