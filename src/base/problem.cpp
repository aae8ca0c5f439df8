#include "base/problem.h"

#include <fmt/core.h>

namespace vitrine {

std::string describe(const Error& error) {
  std::string text(name(error.code));
  if (error.address != 0) text += fmt::format(" at {:#x}", error.address);
  if (error.what != nullptr && *error.what != '\0') text += fmt::format(" ({})", error.what);
  return text;
}

Problem::Problem(const Error& error) : code(error.code), message(describe(error)) {}

}  // namespace vitrine
