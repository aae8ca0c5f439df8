// Passes over a script, and its items.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

Compiler::Compiler(const Source& source, const Script& script, const CheckOptions& options,
                   Diagnostics& diagnostics)
    : source_(source), script_(script), options_(options), told_(diagnostics) {}

void Compiler::tell(Diagnostic diagnostic) {
  if (diagnostic.is_error()) broken_ = true;
  if (aloud_) told_.add(std::move(diagnostic));
}

void Compiler::suggest(Diagnostic& diagnostic, const Nearest& nearest, Span span,
                       std::string_view meant) {
  if (meant.empty() && !nearest.found()) return;
  const auto ours = meant.empty() ? nearest.best() : std::string(meant);
  diagnostic.label = fmt::format("did you mean {}?", ours);
  diagnostic.fix = Fix{span, ours, fmt::format("write {}", ours)};
}

std::string Compiler::quote(Span span) const {
  auto text = source_.text(span);
  const auto line = text.find_first_of("\r\n");
  if (line != std::string_view::npos) return "this";
  if (text.size() > 40) return "this";
  return std::string(text);
}

std::optional<Program> Compiler::run() {
  // The types of maps come from all of the script: walk it until they stand still. Each walk
  // settles at least one map or is the last but one; what is not settled then is told.
  constexpr unsigned kMostPasses = 32;
  std::size_t known = SIZE_MAX;
  for (unsigned i = 0; i < kMostPasses; ++i) {
    pass();
    std::size_t now = 0;
    for (const auto& map : maps_)
      now += (map.second.value_known && !map.second.value.open()) + map.second.keys_known;
    // All of them, or no more than before: another silent walk would say the same.
    if (full_ || (!widened_ && (now == known || now == 2 * maps_.size()))) break;
    known = now;
  }
  aloud_ = true;
  pass();
  finish();
  if (options_.build && incomplete_ && !broken_) {
    tell({.code = Code::needs_kernel,
          .span = first_unknown_,
          .message = "this cannot be built without a guest: what it means depends on its kernel",
          .hint = "use --vm VM or --kernel FILE"});
  }
  if (broken_ || incomplete_) return std::nullopt;
  return std::move(program_);
}

void Compiler::pass() {
  program_ = {};
  number_pool_.clear();
  text_pool_.clear();
  used_.clear();
  declared_.clear();
  checked_.clear();
  constants_.clear();
  constant_values_.clear();
  functions_.clear();
  symptoms_.clear();
  broken_ = incomplete_ = full_ = widened_ = false;
  first_unknown_ = {};
  steps_ = 0;
  for (auto& map : maps_) {
    map.second.read = map.second.written = false;
    map.second.assigned = 0;
  }
  declare();
  for (const auto id : script_.top) top(script_.at(id));
}

void Compiler::declare() {
  const auto taken = [&](const Item& item, const Item& other) {
    tell({.code = Code::duplicate_name,
          .span = item.name_span,
          .message = fmt::format("there is another {}", item.name),
          .notes = {{other.name_span, "the other one"}}});
  };
  for (const auto id : script_.top) {
    const Item& item = script_.at(id);
    const auto find = [&]() -> const Item* {
      if (const auto at = constants_.find(item.name); at != constants_.end()) return at->second;
      if (const auto at = functions_.find(item.name); at != functions_.end()) return at->second;
      return nullptr;
    };
    if (item.kind == Item::Kind::symptom) {
      const auto [at, fresh] = symptoms_.try_emplace(item.name, &item);
      if (!fresh) taken(item, *at->second);
      continue;
    }
    if (item.kind != Item::Kind::constant && item.kind != Item::Kind::function) continue;
    if (const auto* other = find()) {
      taken(item, *other);
      continue;
    }
    const bool constant = item.kind == Item::Kind::constant;
    if (find_moment("", item.name) != nullptr || is_moment_group(item.name) ||
        item.name == "event" || item.name == "reg" || item.name == "phys") {
      tell({.code = Code::shadowing,
            .span = item.name_span,
            .message = fmt::format("{} hides the language's own {}", item.name, item.name),
            .hint = "give it another name"});
    }
    if (!constant && find_function(item.name) != nullptr) {
      tell({.code = Code::duplicate_name,
            .span = item.name_span,
            .message = fmt::format("{} is a function of the language", item.name),
            .expected = "another name"});
      continue;
    }
    (constant ? constants_ : functions_).emplace(item.name, &item);
    if (!item.name.starts_with('_'))
      declared_.try_emplace(item.name_span.begin, item.name_span,
                            constant ? Code::unused_const : Code::unused_fn);
    std::set<std::string_view> parameters;
    for (const auto& parameter : item.parameters) {
      if (!parameters.insert(parameter.name).second) {
        tell({.code = Code::duplicate_name,
              .span = parameter.span,
              .message = fmt::format("two parameters are called {}", parameter.name)});
      }
    }
  }
}

void Compiler::top(const Item& item) {
  switch (item.kind) {
    case Item::Kind::bad:
      event(item, nullptr);
      break;
    case Item::Kind::configuration:
      configuration(item);
      break;
    case Item::Kind::event:
      event(item, nullptr);
      break;
    case Item::Kind::stream:
      stream(item);
      break;
    case Item::Kind::symptom:
      symptom(item);
      break;
    case Item::Kind::constant: {
      // Judged where it stands, also if nobody uses it.
      Scope scope(*this);
      const bool used = used_.contains(item.name_span.begin);
      Expr use{.kind = Expr::Kind::name, .span = script_.at(item.value).span};
      const auto* probe = std::exchange(probe_, nullptr);
      (void)constant_item(item, use);
      probe_ = probe;
      if (!used) used_.erase(item.name_span.begin);
      break;
    }
    case Item::Kind::function:
      break;
  }
}

void Compiler::configuration(const Item& item) {
  for (const auto& property : item.properties) {
    const auto* key = find_key(property.key);
    if (key == nullptr) {
      Nearest nearest(property.key);
      for (const auto& candidate : configuration_keys()) nearest.offer(candidate.name);
      Diagnostic diagnostic{
          .code = Code::unknown_key,
          .span = property.key_span,
          .message = fmt::format("there is no configuration key {}", property.key)};
      suggest(diagnostic, nearest, property.key_span);
      tell(std::move(diagnostic));
      continue;
    }
    const auto index = static_cast<std::uint8_t>(key - configuration_keys().data());
    for (auto& setting : program_.settings) {
      if (setting.key == index)
        tell({.code = Code::duplicate_key,
              .span = property.key_span,
              .message = fmt::format("{} is given twice; the last counts", key->name)});
    }
    std::erase_if(program_.settings, [&](const Setting& setting) { return setting.key == index; });
    if (key->kind == KeyKind::reg) {
      if (const auto reg = register_name(property.value))
        program_.settings.push_back({index, *reg});
      continue;
    }
    Scope scope(*this);
    const auto* probe = std::exchange(probe_, nullptr);
    auto value = address_expression(property.value);
    probe_ = probe;
    if (key->kind == KeyKind::duration) {
      constexpr std::uint64_t kLeast = 1'000'000, kMost = 3'600'000'000'000;
      if (value.type.is(TypeKind::error)) continue;
      if (!value.constant || !value.type.is(TypeKind::duration)) {
        tell({.code = Code::wrong_type,
              .span = value.span,
              .message =
                  fmt::format("{} is a duration; this is {}", key->name, describe(value.type.kind)),
              .hint = "a duration has a unit: 100ms"});
        broken_ = true;
      } else if (value.number < kLeast || value.number > kMost) {
        tell({.code = Code::out_of_range,
              .span = value.span,
              .message = fmt::format("{} is 1ms to 1h", key->name)});
      } else {
        program_.settings.push_back({index, value.number});
      }
      continue;
    }
    if (!want_number(value, key->kind == KeyKind::offset ? "an offset" : describe(key->kind)))
      continue;
    if (!value.constant && !value.is_symbol && !value.type.open()) {
      tell({.code = Code::not_constant,
            .span = value.span,
            .message = "a configuration value is known before the script runs"});
      continue;
    }
    if (key->kind == KeyKind::offset && value.constant && value.number > 65535) {
      tell({.code = Code::out_of_range,
            .span = value.span,
            .message = fmt::format("{} is 0 to 65535", key->name)});
      continue;
    }
    if (key->kind == KeyKind::rate && value.constant && value.number > 1'000'000'000) {
      tell({.code = Code::out_of_range,
            .span = value.span,
            .message = fmt::format("{} is 0 to 1000000000", key->name)});
      continue;
    }
    std::uint64_t number = value.number;
    if (value.is_symbol && options_.ports.symbols != nullptr)
      number += options_.ports.symbols->find(value.text).value_or(0);
    program_.settings.push_back({index, number});
    // Against the guest, where it can be asked.
    std::optional<std::uint64_t> truth;
    if (key->kind == KeyKind::address && options_.ports.symbols != nullptr &&
        !key->symbol_or_member.empty())
      truth = options_.ports.symbols->find(key->symbol_or_member);
    if (key->kind == KeyKind::offset && options_.ports.types != nullptr &&
        !key->symbol_or_member.empty()) {
      std::string_view rest = key->symbol_or_member;
      auto dot = rest.find('.');
      auto type = options_.ports.types->find(fmt::format("struct {}", rest.substr(0, dot)));
      std::uint64_t bits = 0;
      while (type && dot != std::string_view::npos) {
        rest.remove_prefix(dot + 1);
        dot = rest.find('.');
        const auto member = options_.ports.types->member(*type, rest.substr(0, dot));
        if (!member) {
          type.reset();
          break;
        }
        bits += member->offset_bits;
        type = member->type;
      }
      if (type) truth = bits / 8;
    }
    if (truth && *truth != number) {
      const bool address = key->kind == KeyKind::address;
      tell({.code = Code::configuration_differs,
            .span = value.span,
            .message =
                address ? fmt::format("this guest says {:#x} ({})", *truth, key->symbol_or_member)
                        : fmt::format("this guest says {} ({})", *truth, key->symbol_or_member),
            .hint = "the script's value is used; without the line, the guest's own"});
    }
  }
}

void Compiler::function_alone(const Item& item) {
  const auto code = program_.code.size();
  lenient_ = true;
  probe_ = nullptr;
  locals_.clear();
  next_number_ = next_text_ = 0;
  Expr call{.kind = Expr::Kind::call,
            .span = item.name_span,
            .name_span = item.name_span,
            .text = item.name};
  Scope scope(*this);
  inlined_.clear();
  inlined_.push_back({&item, false, {}, {}});
  for (const auto& parameter : item.parameters) {
    declare_local({parameter.name, parameter.span,
                   Value{.type = type_of(TypeKind::unknown), .span = parameter.span}, false},
                  Code::unused_parameter);
  }
  const bool incomplete = incomplete_;
  left_ = false;
  if (item.value != ExprId::none)
    (void)rvalue(item.value);
  else
    block(item.body);
  incomplete_ = incomplete;
  left_ = false;
  inlined_.clear();
  lenient_ = false;
  program_.code.resize(std::min(code, program_.code.size()));
}

void Compiler::finish() {
  for (const auto& [name, item] : functions_) {
    if (!used_.contains(item->name_span.begin)) function_alone(*item);
  }
  for (const auto& [where, what] : declared_) {
    if (used_.contains(where) || full_) continue;  // not all of it was looked at
    const auto& [span, code] = what;
    const auto name = source_.text(span);
    std::string_view verb = code == Code::unused_fn ? "is never called"
                            : code == Code::unused_row
                                ? "is never looked at: each turn does the same"
                                : "is never used";
    tell({.code = code,
          .span = span,
          .message = fmt::format("{} {}", name, verb),
          .hint = code == Code::unused_row ? "" : "remove it, or start its name with _"});
  }
  for (const auto& [name, map] : maps_) {
    if (map.read && !map.written) {
      Nearest nearest(name);
      for (const auto& other : maps_) {
        if (other.second.written) nearest.offer(other.first);
      }
      Diagnostic diagnostic{
          .code = Code::unwritten_map,
          .span = map.first_read,
          .message =
              fmt::format("nothing writes @{}: what is read from it is always missing", name)};
      if (nearest.found()) diagnostic.label = fmt::format("did you mean @{}?", nearest.best());
      tell(std::move(diagnostic));
    }
  }
  const bool sound = !broken_;
  const bool attached = options_.ports.types != nullptr && options_.ports.symbols != nullptr &&
                        options_.ports.views != nullptr;
  for (const auto& [name, map] : maps_) {
    const bool alone = map.adds && map.assigned == 1;  // whatever the guest's types are
    if (!sound || !map.written || !map.value.open() || !(attached || alone)) continue;
    if (map.adds)
      tell({.code = Code::map_value,
            .span = map.adds->span,
            .message = fmt::format("@{} is missing at first, and so is what is added to it", name),
            .hint = "+= and -= begin at 0",
            .fix = map.adds});
    else
      tell({.code = Code::map_value,
            .span = map.first_value,
            .message = fmt::format("what @{} holds cannot be told: its values come from maps that "
                                   "take theirs from it",
                                   name)});
  }
  if (maps_.size() > kMaxMaps) {
    tell({.code = Code::too_many,
          .span = maps_.begin()->second.first_keys,
          .message =
              fmt::format("a script has at most {} maps; here are {}", kMaxMaps, maps_.size())});
  }
  program_.maps.resize(maps_.size());
  for (const auto& [name, map] : maps_) {
    auto& info = program_.maps[map.id];
    info.name = name;
    for (const auto& key : map.keys) info.keys.push_back(value_type(key));
    info.value = value_type(map.value);
    info.aggregate = map.aggregate;
    info.low = map.low;
    info.high = map.high;
    info.step = map.step;
    // A map that is only read or cleared has no type to keep: nothing can be in it.
    if (!map.written) info.value = ValueType::integer;
  }
  if (told_.errors() == 0 && program_.probes.empty() && !broken_) {
    const auto end = static_cast<std::uint32_t>(source_.text().size());
    tell({.code = Code::empty_script,
          .span = {0, std::min<std::uint32_t>(end, 1)},
          .message = "the script has no probe: it would start and do nothing"});
  }
}

}  // namespace vitrine::vmipl
