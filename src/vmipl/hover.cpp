#include "vmipl/hover.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "vmipl/catalogue.h"
#include "vmipl/characters.h"
#include "vmipl/definition.h"
#include "vmipl/lexer.h"
#include "vmipl/reference.h"

namespace vitrine::vmipl {
namespace {

std::string code(std::string_view text) { return fmt::format("```vmi\n{}\n```\n", text); }

std::string page(const ProbeInfo& probe) {
  const auto whole = probe_page(probe);
  const auto line = whole.find('\n');
  return code(whole.substr(0, line)) + fmt::format("```text\n{}```\n", whole.substr(line + 2));
}

/// The word at an offset: letters, digits and _; what stands before it and a dot.
struct Word {
  Span span;
  std::string_view text;
  std::string_view group;  ///< "process" of process.name
};

std::optional<Word> word_at(std::string_view text, std::uint32_t offset) {
  if (offset > text.size()) return std::nullopt;
  auto begin = offset, end = offset;
  while (begin > 0 && is_word(text[begin - 1])) --begin;
  while (end < text.size() && is_word(text[end])) ++end;
  if (begin == end || is_digit(text[begin])) return std::nullopt;
  Word word{.span = {begin, end}, .text = text.substr(begin, end - begin), .group = {}};
  if (begin > 0 && text[begin - 1] == '.') {
    auto group = begin - 1;
    while (group > 0 && is_word(text[group - 1])) --group;
    word.group = text.substr(group, begin - 1 - group);
  }
  return word;
}

/// The item whose text holds the offset; of a symptom, the probe within it.
const Item* item_at(const Script& script, std::uint32_t offset) {
  const Item* found = nullptr;
  for (const auto& item : script.items) {
    if (item.span.begin <= offset && offset <= item.span.end &&
        (found == nullptr || item.span.size() < found->span.size()))
      found = &item;
  }
  return found;
}

std::optional<std::string> event_field(const Item* item, std::string_view name_of_field) {
  std::vector<const ProbeInfo*> probes_here;
  if (item != nullptr) {
    for (const auto& head : item->heads) {
      if (const auto* probe = find_probe(head.name)) probes_here.push_back(probe);
    }
  }
  for (const auto* probe : probes_here) {
    for (const auto& field : probe->fields) {
      if (field.name == name_of_field)
        return fmt::format("{}`event.{}` of {}: {}; {}\n",
                           code(fmt::format("event.{}", field.name)), field.name, probe->name,
                           name(field.type), field.summary);
    }
  }
  return std::nullopt;
}

std::string_view name_of(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::boolean:
      return "bool";
    case ColumnKind::integer:
      return "integer";
    case ColumnKind::address:
      return "address";
    case ColumnKind::mask:
      return "mask";
    case ColumnKind::size:
      return "bytes";
    case ColumnKind::duration:
      return "duration";
    case ColumnKind::time:
      return "time";
    case ColumnKind::text:
      return "text";
    case ColumnKind::list:
      return "list";
  }
  return "value";
}

std::optional<std::string> view_page(std::string_view view, const Ports& ports) {
  if (ports.views == nullptr) return std::nullopt;
  const auto columns = ports.views->columns(view);
  if (!columns) return std::nullopt;
  auto out = code(fmt::format("for (row in {})", view)) + "```text\nits columns:\n";
  for (const auto& column : *columns)
    out += fmt::format("  {:<24} {}\n", column.name, name_of(column.kind));
  return out + "```\n";
}

/// The view that a row was declared to come from: `for (row in view`.
std::string_view view_of_row(const Source& source, const Script& script, Span declared) {
  for (const auto& stmt : script.stmts) {
    if (stmt.kind == Stmt::Kind::for_view && stmt.name_span == declared)
      return source.text(stmt.view_span);
  }
  return {};
}

std::string declared_words(const Source& source, const Definition& definition) {
  constexpr std::string_view kKinds[] = {
      "variable", "parameter of the function", "constant", "function", "map", "channel", "symptom"};
  const auto line = source.line_of(definition.declared.begin);
  auto text = source.text(definition.whole);
  text = text.substr(0, std::min(text.find_first_of("\r\n"), text.size()));
  const auto what = kKinds[static_cast<std::size_t>(definition.kind)];
  const auto verb = definition.kind == Definition::map       ? "first written"
                    : definition.kind == Definition::channel ? "first used"
                                                             : "declared";
  return code(text) + fmt::format("{}, {} in line {}\n", what, verb, line);
}

std::optional<std::string> catalogue_words(const Word& word, const Item* item) {
  if (!word.group.empty()) {
    if (const auto* moment = find_moment(word.group, word.text))
      return fmt::format("{}{}; {}\n", code(fmt::format("{}.{}", word.group, word.text)),
                         moment->guest_type.empty()
                             ? std::string(name(moment->type))
                             : fmt::format("struct {} *", moment->guest_type),
                         moment->summary);
    if (word.group == "reg" && find_register(word.text))
      return fmt::format("{}a register, all of its 64 bits\n",
                         code(fmt::format("reg.{}", word.text)));
    if (word.group == "event") return event_field(item, word.text);
    if (const auto* function = find_function(fmt::format("{}.{}", word.group, word.text)))
      return fmt::format("{}{}\n", code(function->written), function->summary);
    return std::nullopt;
  }
  if (word.text == "Stop") return page(*find_probe("Stop")) + page(*stop_action());
  if (const auto* probe = find_probe(word.text)) return page(*probe);
  if (item != nullptr && item->kind == Item::Kind::configuration) {
    if (const auto* key = find_key(word.text))
      return fmt::format("{}{}; {}\n", code(fmt::format("{}: ", key->name)), describe(key->kind),
                         key->summary);
  }
  if (const auto* function = find_function(word.text))
    return fmt::format("{}{}\n", code(function->written), function->summary);
  if (const auto* moment = find_moment("", word.text))
    return fmt::format("{}{}; {}\n", code(word.text), name(moment->type), moment->summary);
  return std::nullopt;
}

/// A word that stands for a number in a probe's parentheses.
std::optional<std::string> argument_words(const Script& script, const Item* item,
                                          const Word& word) {
  if (item == nullptr) return std::nullopt;
  for (const auto& head : item->heads) {
    const auto* probe = find_probe(head.name);
    if (probe == nullptr) continue;
    for (std::size_t i = 0; i < head.args.size() && i < probe->params.size(); ++i) {
      if (script.at(head.args[i]).span != word.span) continue;
      if (probe->params[i].kind == ParamKind::system_call) {
        if (const auto* call = find_system_call(word.text))
          return fmt::format("system call {} of x86-64\n", call->number);
      }
      if (probe->params[i].kind == ParamKind::msr) {
        for (const auto& msr : msr_names()) {
          if (msr.name == word.text)
            return fmt::format("model-specific register {:#x}\n", msr.index);
        }
      }
    }
  }
  return std::nullopt;
}

std::optional<std::string> kernel_words(const Word& word, const Ports& ports) {
  if (ports.types != nullptr) {
    if (const auto type = ports.types->find(fmt::format("struct {}", word.text))) {
      const auto shape = ports.types->shape(*type);
      return fmt::format("{}{} bytes in this kernel\n", code(shape.name), shape.size);
    }
    if (const auto number = ports.types->enumerator(word.text))
      return fmt::format("an enumerator of this kernel: {}\n", *number);
  }
  if (ports.symbols == nullptr) return std::nullopt;
  const auto address = ports.symbols->find(word.text);
  if (!address) return std::nullopt;
  auto out = fmt::format("a symbol of this kernel, at {:#x}", *address);
  if (ports.types != nullptr) {
    if (const auto type = ports.types->variable(word.text))
      out += fmt::format(": {}", ports.types->shape(*type).name);
  }
  return out + "\n";
}

/// Comments and strings hold no words; of a string, the whole is one.
bool is_prose(const Source& source, std::uint32_t offset) {
  Diagnostics ignored;
  Lexer lexer(source, ignored);
  for (auto token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    if (token.span.begin > offset) return true;
    if (offset <= token.span.end) return token.kind == TokenKind::string;
  }
  return true;
}

}  // namespace

std::optional<Hover> hover(const Source& source, const Script& script, std::uint32_t offset,
                           const Ports& ports) {
  const auto word = word_at(source.text(), offset);
  if (!word || is_prose(source, word->span.begin)) return std::nullopt;
  const auto with = [&](std::optional<std::string> text) -> std::optional<Hover> {
    if (!text) return std::nullopt;
    return Hover{word->span, std::move(*text)};
  };
  const auto* item = item_at(script, word->span.begin);
  if (!word->group.empty()) {
    // row.column: the row is declared by its loop.
    const auto row = static_cast<std::uint32_t>(word->group.data() - source.text().data());
    if (const auto declared = find_definition(script, row)) {
      const auto view = view_of_row(source, script, declared->declared);
      const auto columns =
          ports.views != nullptr && !view.empty() ? ports.views->columns(view) : std::nullopt;
      if (columns) {
        const auto column = std::ranges::find(*columns, word->text, &ViewColumn::name);
        if (column != columns->end())
          return with(fmt::format("{}{}, a column of {}\n",
                                  code(fmt::format("{}.{}", word->group, word->text)),
                                  name_of(column->kind), view));
      }
    }
  }
  if (auto text = argument_words(script, item, *word)) return with(std::move(text));
  if (word->group.empty()) {
    if (const auto definition = find_definition(script, word->span.begin + 1)) {
      const auto view = definition->kind == Definition::variable
                            ? view_of_row(source, script, definition->declared)
                            : std::string_view();
      auto text = declared_words(source, *definition);
      if (!view.empty()) text += view_page(view, ports).value_or("");
      return Hover{definition->use, std::move(text)};
    }
  }
  if (auto text = catalogue_words(*word, item)) return with(std::move(text));
  if (word->group.empty()) {
    if (auto text = view_page(word->text, ports)) return with(std::move(text));
    return with(kernel_words(*word, ports));
  }
  return std::nullopt;
}

}  // namespace vitrine::vmipl
