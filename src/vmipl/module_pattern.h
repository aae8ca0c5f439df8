// ModulePattern: "MODULE:PATTERN", as a script names places of a module that comes and goes.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>

namespace vitrine::vmipl {

struct ModulePattern {
  std::string_view module, pattern;

  /// As modprobe has it, '-' is '_'.
  [[nodiscard]] bool is_of(std::string_view name) const {
    return std::ranges::equal(module, name,
                              [](char a, char b) { return (a == '-' ? '_' : a) == b; });
  }
};

/// Nothing: `text` names no module. Either part may be empty; whoever checks the script says so.
[[nodiscard]] inline std::optional<ModulePattern> module_pattern(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return ModulePattern{text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace vitrine::vmipl
