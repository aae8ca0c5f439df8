#include "fvm/log_line.h"

#include <unistd.h>

#include <string>

namespace vitrine::fvm {

void log_line(std::string_view who, std::string_view text) noexcept {
  // One call, so that the lines of several processes do not mix in one file.
  const auto line = std::string(who).append(": ").append(text).append("\n");
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace vitrine::fvm
