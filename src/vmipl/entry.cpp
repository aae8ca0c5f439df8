#include "vmipl/entry.h"

#include <fmt/format.h>

#include <algorithm>

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

std::string_view declared_name(std::string_view entry) {
  const auto word = first_word(entry);
  if (word != "const" && word != "fn") return {};
  return first_word(
      entry.substr(static_cast<std::size_t>(word.data() - entry.data()) + word.size()));
}

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
  Source source;  ///< what people see of it
  Diagnostics diagnostics;
  Checked checked;

  /// `text` within what makes a script of it, which nobody typed and nobody is shown.
  Attempt(std::string_view before, const std::string& text, std::string_view after,
          const std::string& rest, const CheckOptions& options)
      : source("<entry>", text + rest) {
    Diagnostics told;
    checked =
        check(Source("<entry>", fmt::format("{}{}{}{}", before, text, after, rest)), options, told);
    const auto shown = [&](Span span) {
      const auto place = [&](std::uint32_t at) {
        at -= std::min<std::uint32_t>(at, static_cast<std::uint32_t>(before.size()));
        const auto end = static_cast<std::uint32_t>(text.size());
        return at <= end
                   ? at
                   : std::max(end, at - std::min(at, static_cast<std::uint32_t>(after.size())));
      };
      return Span{place(span.begin), place(span.end)};
    };
    for (auto diagnostic : told.items()) {
      diagnostic.span = shown(diagnostic.span);
      if (diagnostic.fix) diagnostic.fix->span = shown(diagnostic.fix->span);
      for (auto& note : diagnostic.notes) note.span = shown(note.span);
      diagnostics.add(std::move(diagnostic));
    }
    diagnostics.sort();
  }
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
    take(Attempt({}, text_, {}, rest, options), kind);
    return;
  }
  if (find_probe(first_word(text_)) != nullptr) {  // an action: it has no value
    take(Attempt("Start { ", text_, "\n}", rest, options), statement);
    return;
  }
  Attempt value("Start { Print(\"%s\\n\", ", text_, "\n) }", rest, options);
  if (value.sound()) {
    take(std::move(value), expression);
    return;
  }
  Attempt block("Start { ", text_, "\n}", rest, options);
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

}  // namespace vitrine::vmipl
