#include "vmipl/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "vmipl/catalogue.h"
#include "vmipl/characters.h"

namespace vitrine::vmipl {
namespace {

/// Where the end of a text stands: what is open there. Strings and comments hold no brackets.
struct Place {
  std::string_view item;     ///< the text of the item at the top that is open or begun
  std::string_view block;    ///< the word before the innermost open brace: "Configuration"
  std::string_view call;     ///< the word before the innermost open parenthesis
  std::size_t argument = 0;  ///< which of its arguments it is
  bool in_text = false;      ///< in a string or a comment: nothing is completed
  bool at_top = true;        ///< no brace is open
};

std::string_view word_before(std::string_view text, std::size_t at) {
  while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == '\t' || text[at - 1] == '\n')) --at;
  const auto end = at;
  while (at > 0 && is_word(text[at - 1])) --at;
  return text.substr(at, end - at);
}

Place place_of(std::string_view text) {
  struct Open {
    char bracket;
    std::size_t at;
    std::size_t commas;
  };
  std::vector<Open> open;
  Place place;
  std::size_t item = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto rest = text.substr(i);
    if (rest.starts_with("//")) {
      const auto end = text.find_first_of("\r\n", i);
      if (end == std::string_view::npos) return {.in_text = true};
      i = end;
    } else if (rest.starts_with("/*")) {
      const auto end = text.find("*/", i + 2);
      if (end == std::string_view::npos) return {.in_text = true};
      i = end + 1;
    } else if (c == '"') {
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i) i += text[i] == '\\';
      if (i >= text.size()) return {.in_text = true};
    } else if (c == '{' || c == '(' || c == '[') {
      open.push_back({c, i, 0});
    } else if (c == '}' || c == ')' || c == ']') {
      if (!open.empty()) open.pop_back();
      if (open.empty() && c == '}') item = i + 1;
    } else if (c == ',' && !open.empty()) {
      ++open.back().commas;
    }
  }
  place.item = text.substr(item);
  for (const auto& one : open) {
    if (one.bracket != '{') continue;
    place.at_top = false;
    place.block = word_before(text, one.at);
  }
  if (!open.empty() && open.back().bracket == '(') {
    place.call = word_before(text, open.back().at);
    place.argument = open.back().commas;
  }
  return place;
}

class Offers {
 public:
  explicit Offers(std::string_view word) : word_(word) {}
  void offer(std::string_view text, Completion::Kind kind, std::string detail = {}) {
    if (!text.starts_with(word_) || text.size() <= word_.size()) return;
    found_.try_emplace(std::string(text), Completion{std::string(text), kind, std::move(detail)});
  }
  [[nodiscard]] bool empty() const { return found_.empty(); }
  [[nodiscard]] std::vector<Completion> take() {
    std::vector<Completion> out;
    for (auto& [text, completion] : found_) out.push_back(std::move(completion));
    return out;
  }

 private:
  std::string_view word_;
  std::map<std::string, Completion, std::less<>> found_;
};

void offer_views(Offers& offers, const Ports& ports) {
  if (ports.views == nullptr) return;
  for (const auto& view : ports.views->names()) offers.offer(view, Completion::view, "a view");
}

/// event.*, of the probes that stand before the open block; of all, where none does.
void offer_event(Offers& offers, std::string_view item) {
  std::vector<const ProbeInfo*> here;
  const auto head = item.substr(0, std::min(item.find('{'), item.size()));
  for (std::size_t i = 0; i < head.size(); ++i) {
    if (!is_letter(head[i])) continue;
    const auto begin = i;
    while (i < head.size() && is_word(head[i])) ++i;
    const auto* probe = find_probe(head.substr(begin, i - begin));
    if (probe != nullptr && probe->kind == ProbeKind::event) here.push_back(probe);
  }
  if (here.empty()) {
    for (const auto& probe : probes()) here.push_back(&probe);
  }
  for (const auto* probe : here) {
    for (const auto& field : probe->fields)
      offers.offer(fmt::format("event.{}", field.name), Completion::field,
                   fmt::format("{}: {}", name(field.type), field.summary));
  }
}

/// row.column, of the view that the nearest loop over `row` goes over.
void offer_columns(Offers& offers, std::string_view before, std::string_view row,
                   const Ports& ports) {
  const auto head = fmt::format("({} in ", row);
  const auto loop = before.rfind(head);
  if (loop == std::string_view::npos || ports.views == nullptr) return;
  auto view = before.substr(loop + head.size());
  std::size_t end = 0;
  while (end < view.size() && is_word(view[end])) ++end;
  const auto columns = ports.views->columns(view.substr(0, end));
  if (!columns) return;
  for (const auto& column : *columns)
    offers.offer(fmt::format("{}.{}", row, column.name), Completion::field,
                 fmt::format("a column of {}", view.substr(0, end)));
}

void offer_dotted(Offers& offers, std::string_view before, const Place& place,
                  std::string_view word, const Ports& ports) {
  for (const auto& moment : moments()) {
    if (!moment.group.empty())
      offers.offer(fmt::format("{}.{}", moment.group, moment.name), Completion::value,
                   fmt::format("{}: {}", name(moment.type), moment.summary));
  }
  for (const auto& reg : registers())
    offers.offer(fmt::format("reg.{}", reg.name), Completion::value, "a register");
  for (const auto& function : functions())
    offers.offer(function.name, Completion::function, std::string(function.written));
  if (word.starts_with("event.")) offer_event(offers, place.item);
  offer_columns(offers, before, word.substr(0, word.find('.')), ports);
}

/// What an argument may be that is one word of few.
void offer_argument(Offers& offers, const Place& place) {
  const auto* probe = find_probe(place.call);
  if (probe == nullptr || probe->params.empty()) return;
  const bool repeated = probe->params.front().repeated;
  const auto& param =
      probe->params[repeated ? 0 : std::min(place.argument, probe->params.size() - 1)];
  const auto words = [&](std::span<const std::string_view> all) {
    for (const auto one : all) offers.offer(one, Completion::word);
  };
  switch (param.kind) {
    case ParamKind::system_call:
      for (const auto& call : system_calls())
        offers.offer(call.name, Completion::word, fmt::format("system call {}", call.number));
      break;
    case ParamKind::msr:
      for (const auto& msr : msr_names())
        offers.offer(msr.name, Completion::word, fmt::format("MSR {:#x}", msr.index));
      break;
    case ParamKind::reg:
      for (const auto& reg : registers()) {
        std::string upper(reg.name);
        std::ranges::transform(upper, upper.begin(), [](char c) {
          return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
        });
        offers.offer(upper, Completion::word, "a register");
        if (!reg.classic.empty()) offers.offer(reg.classic, Completion::word, "a register");
      }
      break;
    case ParamKind::process_field:
      words(process_list_fields());
      break;
    case ParamKind::vmcs_field:
      words(vmcs_fields());
      break;
    default:
      break;
  }
  if (place.call == "Report") words(severities());
}

/// Names that a text declares: maps and channels where they are used, variables behind their
/// word.
void offer_declared(Offers& offers, std::string_view whole) {
  std::string_view last;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const char c = whole[i];
    const bool sigil = c == '@' || c == '#';
    if (!sigil && !is_word(c)) {
      if (c != ' ' && c != '(') last = {};
      continue;
    }
    const auto begin = i;
    if (sigil) ++i;
    while (i < whole.size() && (is_word(whole[i]) || (c == '#' && whole[i] == '-'))) ++i;
    const auto word = whole.substr(begin, i - begin);
    --i;
    if (c == '@') offers.offer(word, Completion::map, "a map");
    if (c == '#') offers.offer(word, Completion::channel, "a channel");
    if (!sigil && is_letter(c)) {
      if (last == "let" || last == "for") offers.offer(word, Completion::variable, "a variable");
      if (last == "const") offers.offer(word, Completion::variable, "a constant");
      if (last == "fn") offers.offer(word, Completion::function, "a function of this script");
    }
    last = word;
  }
}

void offer_words(Offers& offers) {
  for (const auto& probe : probes()) {
    const bool top = probe.kind == ProbeKind::event || probe.kind == ProbeKind::stream;
    offers.offer(probe.name, top ? Completion::probe : Completion::action,
                 fmt::format("{}: {}", signature(probe), probe.summary));
  }
  for (const auto& function : functions())
    offers.offer(function.name, Completion::function,
                 fmt::format("{}: {}", function.written, function.summary));
  for (const auto& moment : moments()) {
    if (moment.group.empty())
      offers.offer(moment.name, Completion::value,
                   fmt::format("{}: {}", name(moment.type), moment.summary));
    else
      offers.offer(moment.group, Completion::value);
  }
  for (const std::string_view group : {"event", "reg"}) offers.offer(group, Completion::value);
  for (const std::string_view keyword :
       {"break", "const", "continue", "else", "for", "fn", "if", "in", "let", "return", "when",
        "struct", "sizeof", "offsetof", "true", "false", "Configuration", "Symptom"})
    offers.offer(keyword, Completion::keyword);
}

}  // namespace

std::string_view last_word(std::string_view before) {
  auto begin = before.size();
  while (begin > 0 && (is_word(before[begin - 1]) || before[begin - 1] == '.')) --begin;
  if (begin > 0 && (before[begin - 1] == '@' || before[begin - 1] == '#')) --begin;
  return before.substr(begin);
}

std::vector<Completion> completions(std::string_view before, const Ports& ports,
                                    std::string_view whole) {
  const auto word = last_word(before);
  const auto place = place_of(before.substr(0, before.size() - word.size()));
  if (place.in_text) return {};
  Offers offers(word);
  auto ahead = before.substr(0, before.size() - word.size());
  while (!ahead.empty() && ahead.back() == ' ') ahead.remove_suffix(1);
  if (place.call == "for" && word_before(ahead, ahead.size()) == "in") {
    offer_views(offers, ports);
    return offers.take();
  }
  if (word.starts_with('@') || word.starts_with('#')) {
    offer_declared(offers, whole.empty() ? before : whole);
    return offers.take();
  }
  if (place.block == "Configuration") {
    for (const auto& key : configuration_keys())
      offers.offer(key.name, Completion::key,
                   fmt::format("{}: {}", describe(key.kind), key.summary));
    return offers.take();
  }
  if (word.find('.') != std::string_view::npos) {
    offer_dotted(offers, before, place, word, ports);
    return offers.take();
  }
  offer_argument(offers, place);
  offer_words(offers);
  offer_declared(offers, whole);
  offer_views(offers, ports);
  return offers.take();
}

}  // namespace vitrine::vmipl
