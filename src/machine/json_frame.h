// JsonFrame: where one JSON object of a byte stream ends, without parsing it.
#pragma once

#include <cstddef>
#include <string_view>

namespace vitrine {

/// Finds the ends of top-level JSON objects in a stream that arrives in pieces. QMP
/// separates its objects by a line end; a pretty-printing monitor also has line ends
/// inside, so braces are counted and strings are skipped.
class JsonFrame {
 public:
  /// Looks at `more`, the bytes that follow those seen before.
  /// @returns the number of bytes of `more` up to and including the end of the
  /// object, or 0 if it does not end there.
  [[nodiscard]] std::size_t feed(std::string_view more) noexcept;
  /// How many objects and arrays lay in each other at most, so far.
  [[nodiscard]] std::size_t deepest() const noexcept { return deepest_; }

 private:
  std::size_t depth_ = 0, deepest_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace vitrine
