// KeyText: what keys write, by the layout of a US keyboard.
//
// The layout is the guest's own affair and not known outside: text is what a US keyboard would
// have written, and the keys' names stand beside it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vitrine {

class KeyText {
 public:
  /// A key goes down or up. @returns what that writes: "a", "A", "\n", "<ctrl-c>", "<f1>"; empty
  /// for modifiers and for keys that go up. `name` is QEMU's (QKeyCode).
  [[nodiscard]] std::string key(std::string_view name, bool down);

 private:
  bool shift_left_ = false, shift_right_ = false, ctrl_ = false, alt_ = false, meta_ = false;
  bool caps_ = false;
};

}  // namespace vitrine
