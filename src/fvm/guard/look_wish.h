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
    if (!again_) due_ = now;
    last_ = now;
  }
  /// Whether to wish for a look now; once.
  [[nodiscard]] bool take(Time now) {
    if (!due_ || now < *due_) return false;
    due_.reset();
    if (!again_ || last_ > asked_) {
      again_ = true;
      due_ = now + kAgain;
    } else {
      again_ = false;
    }
    asked_ = now;
    return true;
  }
  [[nodiscard]] std::optional<Time> next() const { return due_; }

 private:
  std::optional<Time> due_;
  Time last_{}, asked_{};
  bool again_ = false;  ///< due_ is a second look's
};

}  // namespace vitrine::fvm
