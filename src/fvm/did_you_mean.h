// What a mistyped name of a configuration or a policy was probably meant to be.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "vmipl/diagnostic.h"

namespace vitrine::fvm {

/// "; did you mean \"freeze\"?", or nothing if none of the names is near.
template <class Names>
[[nodiscard]] std::string did_you_mean(std::string_view word, const Names& names) {
  vmipl::Nearest nearest(word);
  for (const std::string_view name : names) nearest.offer(name);
  return nearest.found() ? fmt::format("; did you mean \"{}\"?", nearest.best()) : std::string();
}

}  // namespace vitrine::fvm
