#include "symptom/symptom_names.h"

#include <algorithm>

#include "vmipl/parser.h"

namespace vitrine::symptom {
namespace {

bool of_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// The names behind the word "rule" where a line begins, past "private" and "global".
void add_pattern_names(std::string_view text, std::vector<std::string>& names) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto word = [&] {
      line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
      const auto stop = std::ranges::find_if_not(line, of_name) - line.begin();
      const auto found = line.substr(0, static_cast<std::size_t>(stop));
      line.remove_prefix(found.size());
      return found;
    };
    auto first = word();
    while (first == "private" || first == "global") first = word();
    if (first != "rule") continue;
    if (const auto name = word(); !name.empty()) names.push_back("pattern_" + std::string(name));
  }
}

}  // namespace

std::vector<std::string> symptom_names(const Pack& pack) {
  std::vector<std::string> names;
  for (const auto& file : pack.files()) {
    if (file.kind == PackFile::Kind::patterns) add_pattern_names(file.text, names);
    if (file.kind != PackFile::Kind::symptoms) continue;
    const vmipl::Source source(file.name, file.text);
    vmipl::Diagnostics diagnostics;
    const auto script = vmipl::parse(source, diagnostics).script;
    for (const auto id : script.top) {
      const auto& item = script.at(id);
      if (item.kind == vmipl::Item::Kind::symptom && !item.name.empty()) names.push_back(item.name);
    }
  }
  std::ranges::sort(names);
  const auto rest = std::ranges::unique(names);
  names.erase(rest.begin(), rest.end());
  return names;
}

}  // namespace vitrine::symptom
