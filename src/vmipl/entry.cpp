#include "vmipl/entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "vmipl/catalogue.h"

namespace vitrine::vmipl {
namespace {

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

std::string_view first_word(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  auto end = begin;
  while (end < text.size() && is_word(text[end])) ++end;
  return text.substr(begin, end - begin);
}

/// Does it stand at the top of a script?
Entry::Kind kind_of(std::string_view text) {
  const auto word = first_word(text);
  if (word == "const" || word == "fn") return Entry::declaration;
  if (word == "Configuration" || word == "Symptom") return Entry::probes;
  const auto* probe = find_probe(word);
  if (probe == nullptr) return Entry::statement;
  if (probe->kind == ProbeKind::stream) return Entry::probes;
  if (probe->kind != ProbeKind::event) return Entry::statement;
  // Stop() is the action, Stop { } the probe.
  const auto after = text.find_first_not_of(
      " \t", static_cast<std::size_t>(word.data() - text.data()) + word.size());
  return word == "Stop" && after != std::string_view::npos && text[after] == '(' ? Entry::statement
                                                                                 : Entry::probes;
}

bool is_syntax(Code code) { return code >= Code::unexpected && code <= Code::missing_block; }

}  // namespace

bool is_unfinished(std::string_view entry) {
  unsigned open = 0;
  for (std::size_t i = 0; i < entry.size(); ++i) {
    const char c = entry[i];
    const auto rest = entry.substr(i);
    if (rest.starts_with("//")) {
      i = std::min(entry.find('\n', i), entry.size());
    } else if (rest.starts_with("/*")) {
      const auto close = entry.find("*/", i + 2);
      if (close == std::string_view::npos) return true;
      i = close + 1;
    } else if (c == '"') {
      for (++i; i < entry.size() && entry[i] != '"' && entry[i] != '\n'; ++i) i += entry[i] == '\\';
    } else if (c == '{' || c == '(' || c == '[') {
      ++open;
    } else if (c == '}' || c == ')' || c == ']') {
      if (open == 0) return false;  // a mistake: to be told, not to be waited for
      --open;
    }
  }
  return open > 0;
}

struct Entry::Attempt {
  Source source;
  Diagnostics diagnostics;
  Checked checked;

  Attempt(std::string text, const CheckOptions& options)
      : source("<entry>", std::move(text)), checked(check(source, options, diagnostics)) {}
  [[nodiscard]] bool sound() const { return diagnostics.errors() == 0; }
  [[nodiscard]] bool parses() const {
    return std::ranges::none_of(diagnostics.items(),
                                [](const Diagnostic& item) { return is_syntax(item.code); });
  }
};

void Entry::take(Attempt attempt, Kind kind) {
  kind_ = kind;
  source_ = std::move(attempt.source);
  diagnostics_ = std::move(attempt.diagnostics);
  checked_ = std::move(attempt.checked);
}

Entry::Entry(std::string text, const std::vector<std::string>& declarations,
             const CheckOptions& given)
    : text_(std::move(text)), source_("<entry>", "") {
  if (first_word(text_).empty() && text_.find_first_not_of(" \t\r\n") == std::string::npos) return;
  auto options = given;
  // At a prompt, what is declared now is used later, and a script of no probes is no mistake.
  for (const auto* name : {"unused-const", "unused-fn", "empty-script", "unwritten-map"})
    options.allow.emplace_back(name);
  std::string rest;
  for (const auto& before : declarations) rest += "\n" + before;
  const auto kind = kind_of(text_);
  if (kind != statement) {
    take(Attempt(text_ + rest, options), kind);
    return;
  }
  Attempt value(fmt::format("Start {{ Print(\"%s\\n\", {}\n) }}{}", text_, rest), options);
  if (value.sound()) {
    take(std::move(value), expression);
    return;
  }
  Attempt block(fmt::format("Start {{ {}\n}}{}", text_, rest), options);
  // A wrong expression is told of as one, a wrong statement as one.
  const bool told_as_value = !block.sound() && value.parses();
  if (told_as_value)
    take(std::move(value), expression);
  else
    take(std::move(block), statement);
}

bool Entry::runs_once() const {
  return kind_ == statement || kind_ == expression ||
         std::ranges::all_of(checked_.probes, [](const CheckedProbe& probe) {
           return probe.probe != nullptr &&
                  (probe.probe->name == "Start" || probe.probe->name == "Stop");
         });
}

std::string_view last_word(std::string_view line) {
  auto begin = line.size();
  while (begin > 0 && (is_word(line[begin - 1]) || line[begin - 1] == '.')) --begin;
  return line.substr(begin);
}

std::vector<std::string> complete(std::string_view line, const Ports& ports) {
  const auto word = last_word(line);
  const auto before = line.substr(0, line.size() - word.size());
  std::set<std::string> found;
  const auto offer = [&](std::string_view candidate) {
    if (candidate.starts_with(word) && candidate.size() > word.size()) found.emplace(candidate);
  };
  const auto ends_with_word = [&](std::string_view tail) {
    auto text = before;
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text.ends_with(tail) && text.size() < before.size();
  };
  if (ends_with_word("in") && ports.views != nullptr) {  // for (row in ...
    for (const auto& view : ports.views->names()) offer(view);
    return {found.begin(), found.end()};
  }
  if (word.find('.') != std::string_view::npos) {
    for (const auto& moment : moments()) {
      if (!moment.group.empty()) offer(fmt::format("{}.{}", moment.group, moment.name));
    }
    for (const auto& reg : registers()) offer(fmt::format("reg.{}", reg.name));
    for (const auto& function : functions()) offer(function.name);
    std::string_view probe_name;
    for (const auto& probe : probes()) {  // event.*: of the probe that the line names last
      if (probe.kind == ProbeKind::event && before.find(probe.name) != std::string_view::npos &&
          probe.name.size() > probe_name.size()) {
        probe_name = probe.name;
        found.clear();
      }
      if (probe.name == probe_name) {
        for (const auto& field : probe.fields) offer(fmt::format("event.{}", field.name));
      }
    }
    for (const auto& moment : moments()) {
      if (!moment.group.empty()) offer(fmt::format("{}.{}", moment.group, moment.name));
    }
    for (const auto& reg : registers()) offer(fmt::format("reg.{}", reg.name));
    // row.column: of the view that the loop goes over.
    const auto dot = word.find('.');
    const auto row = fmt::format("({} in ", word.substr(0, dot));
    const auto loop = before.rfind(row);
    if (loop != std::string_view::npos && ports.views != nullptr) {
      auto view = before.substr(loop + row.size());
      view = view.substr(0, std::min(view.find(')'), view.size()));
      if (const auto columns = ports.views->columns(view)) {
        for (const auto& column : *columns)
          offer(fmt::format("{}.{}", word.substr(0, dot), column.name));
      }
    }
    return {found.begin(), found.end()};
  }
  for (const auto& probe : probes()) offer(probe.name);
  for (const auto& function : functions()) offer(function.name);
  for (const auto& moment : moments()) offer(moment.group.empty() ? moment.name : moment.group);
  for (const std::string_view keyword :
       {"break",  "const",    "continue", "else",  "event",         "for",    "fn",
        "if",     "in",       "let",      "reg",   "return",        "when",   "struct",
        "sizeof", "offsetof", "true",     "false", "Configuration", "Symptom"})
    offer(keyword);
  if (ports.views != nullptr) {
    for (const auto& view : ports.views->names()) offer(view);
  }
  return {found.begin(), found.end()};
}

}  // namespace vitrine::vmipl
