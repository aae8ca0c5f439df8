// Value: a number or a text of a running program, or nothing.
//
// Two forms: ValueView borrows its text and costs nothing to make (at an event, nothing is
// allocated); Value owns it, for the host.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine::probe {

/// Texts hold bytes of the guest: any bytes, NULs too. Stacks are return addresses, eight bytes
/// each, little-endian, innermost first.
struct ValueView {
  bool there = false;    ///< false: missing
  bool textual = false;  ///< which of the two counts
  std::uint64_t number = 0;
  std::string_view text = {};

  [[nodiscard]] static constexpr ValueView of(std::uint64_t number) {
    return {true, false, number, {}};
  }
  [[nodiscard]] static constexpr ValueView of(std::string_view text) {
    return {true, true, 0, text};
  }
  [[nodiscard]] static constexpr ValueView missing(bool textual = false) {
    return {false, textual, 0, {}};
  }
};

struct Value {
  bool there = false;
  bool textual = false;
  std::uint64_t number = 0;
  std::string text;

  Value() = default;
  Value(const ValueView& view)
      : there(view.there),
        textual(view.textual),
        number(view.number),
        text(view.text) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] ValueView view() const { return {there, textual, number, text}; }
  bool operator==(const Value&) const = default;
};

}  // namespace vitrine::probe
