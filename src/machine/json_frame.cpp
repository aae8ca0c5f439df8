#include "machine/json_frame.h"

#include <algorithm>

namespace vitrine {

std::size_t JsonFrame::feed(std::string_view more) noexcept {
  for (std::size_t i = 0; i < more.size(); ++i) {
    const char c = more[i];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      continue;
    }
    if (c == '"') {
      in_string_ = depth_ > 0;
    } else if (c == '{' || c == '[') {
      deepest_ = std::max(deepest_, ++depth_);
    } else if ((c == '}' || c == ']') && depth_ > 0 && --depth_ == 0) {
      return i + 1;
    }
  }
  return 0;
}

}  // namespace vitrine
