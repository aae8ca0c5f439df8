#include "cli/language_server/document.h"

#include <algorithm>
#include <string_view>

namespace vitrine::cli {
namespace {

std::uint32_t units(char32_t code) { return code > 0xffff ? 2 : 1; }

bool has_symptoms(const vmipl::Source& source) {
  vmipl::Diagnostics ignored;
  const auto parsed = vmipl::parse(source, ignored);
  return std::ranges::any_of(parsed.script.top, [&](vmipl::ItemId id) {
    return parsed.script.at(id).kind == vmipl::Item::Kind::symptom;
  });
}

}  // namespace

EditorPosition editor_position(const vmipl::Source& source, std::uint32_t offset) {
  const auto line = source.line_of(offset);
  const auto whole = source.line_span(line);
  auto text = source.text({whole.begin, std::min(std::max(offset, whole.begin), whole.end)});
  EditorPosition position{.line = line - 1, .character = 0};
  while (!text.empty()) {
    const auto character = vmipl::decode_utf8(text);
    position.character += units(character.code);
    text.remove_prefix(character.bytes);
  }
  return position;
}

std::uint32_t offset_of(const vmipl::Source& source, EditorPosition position) {
  if (position.line >= source.lines()) return static_cast<std::uint32_t>(source.text().size());
  const auto whole = source.line_span(position.line + 1);
  auto text = source.text(whole);
  auto offset = whole.begin;
  std::uint32_t passed = 0;
  while (!text.empty()) {
    const auto character = vmipl::decode_utf8(text);
    passed += units(character.code);
    if (passed > position.character) break;
    offset += character.bytes;
    text.remove_prefix(character.bytes);
  }
  return offset;
}

Document::Document(std::string name, std::string text, const vmipl::Ports& ports,
                   const vmipl::Ports& rules)
    : source_(std::move(name), std::move(text)),
      ports_(has_symptoms(source_) ? &rules : &ports),
      checked_(vmipl::check(source_, {.ports = *ports_}, diagnostics_)) {}

}  // namespace vitrine::cli
