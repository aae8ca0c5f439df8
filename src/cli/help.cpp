#include "cli/help.h"

#include <fmt/core.h>

#include <algorithm>

#include "cli/columns.h"

namespace vitrine::cli {
namespace {

constexpr std::size_t kWidth = 80;

std::string shown(const Option& option) {
  return option.value.empty() ? std::string(option.name)
                              : fmt::format("{} {}", option.name, option.value);
}

}  // namespace

std::string wrapped(std::string_view text, std::size_t width, std::string_view indent) {
  std::string out;
  for (const auto& paragraph : split(text, '\n')) {
    std::string line(indent);
    bool empty = true;
    for (const auto& word : split(paragraph, ' ')) {
      if (!empty && line.size() + 1 + word.size() > width) {
        out += line + "\n";
        line = indent;
        empty = true;
      }
      if (!empty) line += ' ';
      line += word;
      empty = false;
    }
    out += line + "\n";
  }
  return out;
}

std::string hanging(std::string_view text, unsigned width, unsigned indent) {
  std::string out;
  const unsigned room = width > indent ? width - indent : 1;
  while (display_width(text) > room) {
    std::size_t full = 0, blank = 0;
    for (unsigned used = 0; full < text.size();) {
      const auto code = decode(text.substr(full));
      used += static_cast<unsigned>(std::max(columns_of(code.value), 0));
      if (used > room && full > 0) break;
      full += code.length;
      if (code.value == ' ') blank = full;
    }
    const auto end = blank > 0 ? blank : full;
    out += text.substr(0, end);
    out += "\n" + std::string(indent, ' ');
    text.remove_prefix(end);
  }
  return out += text;
}

std::string overview() {
  std::string text =
      "vitrine looks into running virtual machines from outside, by their RAM alone.\n\n"
      "usage: vitrine COMMAND [VM] [options]\n"
      "       VM is a name, a pid, a QMP socket or a memory image\n\n";
  std::size_t width = 0;
  for (const auto& command : commands()) {
    if (!command.hidden) width = std::max(width, command.name.size());
  }
  // Group by group, in the order in which they first occur.
  std::vector<std::string_view> groups;
  for (const auto& command : commands()) {
    if (!command.hidden && std::ranges::find(groups, command.group) == groups.end())
      groups.push_back(command.group);
  }
  for (const auto group : groups) {
    text += fmt::format("{}\n", group);
    for (const auto& command : commands()) {
      if (!command.hidden && command.group == group)
        text += fmt::format("  {:<{}}  {}\n", command.name, width, command.summary);
    }
  }
  return text + "\nvitrine help COMMAND explains one; vitrine demo shows them at work.\n";
}

std::string help_of(const Command& command) {
  std::string text = fmt::format("vitrine {}: {}\n\nusage: vitrine {}\n", command.name,
                                 command.summary, command.usage());
  if (!command.description.empty()) text += "\n" + wrapped(command.description, kWidth, "");
  if (!command.options.empty()) {
    std::size_t width = 0;
    for (const auto& option : command.options) width = std::max(width, shown(option).size());
    text += "\noptions:\n";
    for (const auto& option : command.options) {
      text += fmt::format("  {:<{}}  {}\n", shown(option), width, option.summary);
    }
  }
  if (!command.examples.empty()) {
    text += command.examples.size() == 1 ? "\nexample:\n" : "\nexamples:\n";
    for (const auto example : command.examples) text += fmt::format("  {}\n", example);
  }
  return text;
}

}  // namespace vitrine::cli
