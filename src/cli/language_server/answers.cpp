#include "cli/language_server/answers.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "vmipl/codes.h"
#include "vmipl/completion.h"
#include "vmipl/definition.h"
#include "vmipl/format_script.h"
#include "vmipl/hover.h"

namespace vitrine::cli {
namespace {

using Json = nlohmann::json;
using vmipl::Diagnostic;
using vmipl::Span;

Json position_json(const vmipl::Source& source, std::uint32_t offset) {
  const auto position = editor_position(source, offset);
  return {{"line", position.line}, {"character", position.character}};
}

Json range_json(const vmipl::Source& source, Span span) {
  return {{"start", position_json(source, span.begin)}, {"end", position_json(source, span.end)}};
}

std::string message_of(const Diagnostic& diagnostic) {
  auto text = diagnostic.message;
  if (!diagnostic.label.empty()) text += fmt::format(": {}", diagnostic.label);
  if (!diagnostic.expected.empty()) text += fmt::format("\nexpected: {}", diagnostic.expected);
  if (!diagnostic.hint.empty()) text += fmt::format("\nhint: {}", diagnostic.hint);
  if (diagnostic.fix) text += fmt::format("\nfix: {}", diagnostic.fix->words);
  if (diagnostic.more > 0) text += fmt::format("\nand {} more of this kind", diagnostic.more);
  return text;
}

bool is_unneeded(vmipl::Code code) {
  using vmipl::Code;
  return code == Code::unused_let || code == Code::unused_const || code == Code::unused_fn ||
         code == Code::unused_parameter || code == Code::unused_row || code == Code::unreachable;
}

Json diagnostic_json(const std::string& uri, const vmipl::Source& source,
                     const Diagnostic& diagnostic) {
  const auto& info = vmipl::info(diagnostic.code);
  Json json = {{"range", range_json(source, diagnostic.span)},
               {"severity", diagnostic.is_error() ? 1 : 2},
               {"code", std::string(info.code)},
               {"source", "vitrine"},
               {"message", message_of(diagnostic)}};
  if (is_unneeded(diagnostic.code)) json["tags"] = Json::array({1});
  for (const auto& note : diagnostic.notes) {
    json["relatedInformation"].push_back(
        {{"location", {{"uri", uri}, {"range", range_json(source, note.span)}}},
         {"message", note.text}});
  }
  return json;
}

int kind_of(vmipl::Completion::Kind kind) {
  using vmipl::Completion;
  switch (kind) {  // CompletionItemKind
    case Completion::keyword:
      return 14;
    case Completion::probe:
      return 23;  // event
    case Completion::action:
    case Completion::function:
      return 3;
    case Completion::value:
    case Completion::variable:
    case Completion::map:
      return 6;
    case Completion::field:
      return 5;
    case Completion::view:
      return 22;  // struct
    case Completion::key:
      return 10;  // property
    case Completion::word:
      return 12;  // value
    case Completion::channel:
      return 18;  // reference
  }
  return 1;
}

Json edit_of(const std::string& uri, Json range, const std::string& text) {
  Json edit = {{"range", std::move(range)}, {"newText", text}};
  Json changes = Json::object();
  changes[uri] = Json::array({std::move(edit)});
  return {{"changes", std::move(changes)}};
}

bool touch(Span one, Span other) { return one.begin <= other.end && other.begin <= one.end; }

}  // namespace

Json diagnostics_json(const std::string& uri, const Document& document) {
  auto all = Json::array();
  for (const auto& diagnostic : document.diagnostics().items())
    all.push_back(diagnostic_json(uri, document.source(), diagnostic));
  return all;
}

Json completion_json(const Document& document, EditorPosition at) {
  const auto& source = document.source();
  const auto offset = offset_of(source, at);
  const auto before = source.text().substr(0, offset);
  const auto word = vmipl::last_word(before);
  const auto range = range_json(source, {offset - static_cast<std::uint32_t>(word.size()), offset});
  auto items = Json::array();
  for (const auto& found : vmipl::completions(before, document.ports(), source.text())) {
    Json item = {{"label", found.text},
                 {"kind", kind_of(found.kind)},
                 {"filterText", found.text},
                 {"textEdit", {{"range", range}, {"newText", found.text}}}};
    if (!found.detail.empty()) item["detail"] = found.detail;
    items.push_back(std::move(item));
  }
  return items;
}

Json hover_json(const Document& document, EditorPosition at) {
  const auto& source = document.source();
  const auto found =
      vmipl::hover(source, document.script(), offset_of(source, at), document.ports());
  if (!found) return nullptr;
  return {{"contents", {{"kind", "markdown"}, {"value", found->text}}},
          {"range", range_json(source, found->span)}};
}

Json definition_json(const std::string& uri, const Document& document, EditorPosition at) {
  const auto& source = document.source();
  const auto found = vmipl::find_definition(document.script(), offset_of(source, at));
  if (!found) return nullptr;
  return {{"uri", uri}, {"range", range_json(source, found->declared)}};
}

Json formatting_json(const Document& document) {
  const auto& source = document.source();
  vmipl::Diagnostics diagnostics;
  const auto formatted = vmipl::format_script(source, diagnostics);
  if (!formatted) return nullptr;
  if (*formatted == source.text()) return Json::array();
  const Span whole{0, static_cast<std::uint32_t>(source.text().size())};
  return Json::array({{{"range", range_json(source, whole)}, {"newText", *formatted}}});
}

Json actions_json(const std::string& uri, const Document& document, EditorPosition begin,
                  EditorPosition end) {
  const auto& source = document.source();
  const Span wanted{offset_of(source, begin), offset_of(source, end)};
  auto actions = Json::array();
  for (const auto& diagnostic : document.diagnostics().items()) {
    if (!touch(diagnostic.span, wanted)) continue;
    const auto told = diagnostic_json(uri, source, diagnostic);
    if (diagnostic.fix) {
      const auto& fix = *diagnostic.fix;
      actions.push_back({{"title", fix.words},
                         {"kind", "quickfix"},
                         {"diagnostics", Json::array({told})},
                         {"isPreferred", true},
                         {"edit", edit_of(uri, range_json(source, fix.span), fix.text)}});
    }
    if (diagnostic.is_error()) continue;
    // Said where it stands, unless something is said there already.
    const auto line = source.line_span(source.line_of(diagnostic.span.begin));
    if (source.text(line).find("//") != std::string_view::npos) continue;
    const auto name = vmipl::info(diagnostic.code).name;
    actions.push_back({{"title", fmt::format("silence {} here", name)},
                       {"kind", "quickfix"},
                       {"diagnostics", Json::array({told})},
                       {"edit", edit_of(uri, range_json(source, {line.end, line.end}),
                                        fmt::format("  // vitrine: allow({})", name))}});
  }
  return actions;
}

}  // namespace vitrine::cli
