#include "cli/command.h"

#include <fmt/core.h>

#include <algorithm>

namespace vitrine::cli {

std::optional<std::string> Arguments::value(std::string_view option) const {
  const auto at = options.find(option);
  if (at == options.end() || at->second.empty()) return std::nullopt;
  return at->second.back();
}

std::string Command::usage() const {
  std::string text(name);
  for (const auto& operand : operands) {
    const bool optional = operand.optional || operand.words == Words::machine;
    const auto shown = fmt::format("{}{}", operand.name, operand.repeated ? " ..." : "");
    text += optional ? fmt::format(" [{}]", shown) : fmt::format(" {}", shown);
  }
  if (!options.empty()) text += " [options]";
  return text;
}

const Command* find_command(std::string_view name) {
  const auto& all = commands();
  const auto at = std::ranges::find(all, name, &Command::name);
  return at == all.end() ? nullptr : &*at;
}

}  // namespace vitrine::cli
