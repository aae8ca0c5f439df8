// Passes over a script, and its items.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

Compiler::Compiler(const Source& source, const Script& script, const CheckOptions& options, Diagnostics& diagnostics)
    : source_(source), script_(script), options_(options), told_(diagnostics) {}

void Compiler::tell(Diagnostic diagnostic) {
  if (diagnostic.is_error()) broken_ = true;
  if (aloud_) told_.add(std::move(diagnostic));
}

void Compiler::suggest(Diagnostic& diagnostic, const Nearest& nearest, Span span, std::string_view meant) {
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
  // settles at least one map or is the last but one; chains longer than this are no script.
  constexpr unsigned kMostPasses = 6;
  std::size_t known = SIZE_MAX;
  for (unsigned i = 0; i < kMostPasses; ++i) {
    pass();
    std::size_t now = 0;
    for (const auto& map : maps_) now += (map.second.value_known && !map.second.value.open()) + map.second.keys_known;
    if (now == known || maps_.empty()) break;
    known = now;
  }
  aloud_ = true;
  pass();
  finish();
  if (options_.build && incomplete_ && !broken_) {
    tell({.code = Code::needs_kernel, .span = first_unknown_, .message = "this cannot be built without a guest: what it means depends on its kernel", .hint = "use --vm VM or --kernel FILE"});
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
  functions_.clear();
  symptoms_.clear();
  broken_ = incomplete_ = full_ = false;
  first_unknown_ = {};
  for (auto& map : maps_) map.second.read = map.second.written = false;
  declare();
  for (const auto id : script_.top) top(script_.at(id));
}

void Compiler::declare() {
  const auto taken = [&](const Item& item, const Item& other) {
    tell({.code = Code::duplicate_name, .span = item.name_span, .message = fmt::format("there is another {}", item.name), .notes = {{other.name_span, "the other one"}}});
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
    if (find_moment("", item.name) != nullptr || is_moment_group(item.name) || item.name == "event" || item.name == "reg" || item.name == "phys") {
      tell({.code = Code::shadowing, .span = item.name_span, .message = fmt::format("{} hides the language's own {}", item.name, item.name), .hint = "give it another name"});
    }
    if (!constant && find_function(item.name) != nullptr) {
      tell({.code = Code::duplicate_name, .span = item.name_span, .message = fmt::format("{} is a function of the language", item.name), .expected = "another name"});
      continue;
    }
    (constant ? constants_ : functions_).emplace(item.name, &item);
    if (!item.name.starts_with('_')) declared_.try_emplace(item.name_span.begin, item.name_span, constant ? Code::unused_const : Code::unused_fn);
    std::set<std::string_view> parameters;
    for (const auto& parameter : item.parameters) {
      if (!parameters.insert(parameter.name).second) {
        tell({.code = Code::duplicate_name, .span = parameter.span, .message = fmt::format("two parameters are called {}", parameter.name)});
      }
    }
  }
}

void Compiler::top(const Item& item) {
  switch (item.kind) {
    case Item::Kind::bad: event(item, nullptr); break;
    case Item::Kind::configuration: configuration(item); break;
    case Item::Kind::event: event(item, nullptr); break;
    case Item::Kind::stream: stream(item); break;
    case Item::Kind::symptom: symptom(item); break;
    case Item::Kind::constant: {
      // Judged where it stands, also if nobody uses it.
      Scope scope(*this);
      const auto used = used_;
      Expr use{.kind = Expr::Kind::name, .span = script_.at(item.value).span};
      const auto* probe = std::exchange(probe_, nullptr);
      (void)constant_item(item, use);
      probe_ = probe;
      if (!used.contains(item.name_span.begin)) used_.erase(item.name_span.begin);
      break;
    }
    case Item::Kind::function: break;
  }
}

void Compiler::configuration(const Item& item) {
  for (const auto& property : item.properties) {
    const auto* key = find_key(property.key);
    if (key == nullptr) {
      Nearest nearest(property.key);
      for (const auto& candidate : configuration_keys()) nearest.offer(candidate.name);
      Diagnostic diagnostic{.code = Code::unknown_key, .span = property.key_span, .message = fmt::format("there is no configuration key {}", property.key)};
      suggest(diagnostic, nearest, property.key_span);
      tell(std::move(diagnostic));
      continue;
    }
    const auto index = static_cast<std::uint8_t>(key - configuration_keys().data());
    for (auto& setting : program_.settings) {
      if (setting.key == index) tell({.code = Code::duplicate_key, .span = property.key_span, .message = fmt::format("{} is given twice; the last counts", key->name)});
    }
    std::erase_if(program_.settings, [&](const Setting& setting) { return setting.key == index; });
    if (key->kind == KeyKind::reg) {
      if (const auto reg = register_name(property.value)) program_.settings.push_back({index, *reg});
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
        tell({.code = Code::wrong_type, .span = value.span, .message = fmt::format("{} is a duration; this is {}", key->name, describe(value.type.kind)), .hint = "a duration has a unit: 100ms"});
        broken_ = true;
      } else if (value.number < kLeast || value.number > kMost) {
        tell({.code = Code::out_of_range, .span = value.span, .message = fmt::format("{} is 1ms to 1h", key->name)});
      } else {
        program_.settings.push_back({index, value.number});
      }
      continue;
    }
    if (!want_number(value, key->kind == KeyKind::offset ? "an offset" : describe(key->kind))) continue;
    if (!value.constant && !value.is_symbol && !value.type.open()) {
      tell({.code = Code::not_constant, .span = value.span, .message = "a configuration value is known before the script runs"});
      continue;
    }
    if (key->kind == KeyKind::offset && value.constant && value.number > 65535) {
      tell({.code = Code::out_of_range, .span = value.span, .message = fmt::format("{} is 0 to 65535", key->name)});
      continue;
    }
    if (key->kind == KeyKind::rate && value.constant && value.number > 1'000'000'000) {
      tell({.code = Code::out_of_range, .span = value.span, .message = fmt::format("{} is 0 to 1000000000", key->name)});
      continue;
    }
    std::uint64_t number = value.number;
    if (value.is_symbol && options_.ports.symbols != nullptr) number += options_.ports.symbols->find(value.text).value_or(0);
    program_.settings.push_back({index, number});
    // Against the guest, where it can be asked.
    std::optional<std::uint64_t> truth;
    if (key->kind == KeyKind::address && options_.ports.symbols != nullptr && !key->symbol_or_member.empty()) truth = options_.ports.symbols->find(key->symbol_or_member);
    if (key->kind == KeyKind::offset && options_.ports.types != nullptr && !key->symbol_or_member.empty()) {
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
      tell({.code = Code::configuration_differs, .span = value.span,
            .message = address ? fmt::format("this guest says {:#x} ({})", *truth, key->symbol_or_member) : fmt::format("this guest says {} ({})", *truth, key->symbol_or_member),
            .hint = "the script's value is used; without the line, the guest's own"});
    }
  }
}

std::optional<ProbeArgument> Compiler::probe_argument(const ProbeInfo& probe, const Param& param, ExprId id) {
  const Expr& expr = script_.at(id);
  if (expr.kind == Expr::Kind::bad) {
    broken_ = true;
    return std::nullopt;
  }
  const auto wrong = [&](Span span) -> std::optional<ProbeArgument> {
    tell({.code = Code::wrong_argument, .span = span, .message = fmt::format("{} is not what {} takes here", quote(span), probe.name), .expected = std::string(describe(param.kind))});
    return std::nullopt;
  };
  const auto number_in = [&](std::uint64_t least, std::uint64_t most) -> std::optional<ProbeArgument> {
    auto value = rvalue(id);
    if (value.type.is(TypeKind::error)) return std::nullopt;
    if (value.is_symbol || (!value.constant && value.type.open())) {
      if (value.is_symbol) return wrong(expr.span);
      return ProbeArgument{};
    }
    if (!value.constant) {
      tell({.code = Code::not_constant, .span = expr.span, .message = fmt::format("an argument of {} is known before the script runs", probe.name), .hint = "what depends on the moment goes into `when (...)`"});
      return std::nullopt;
    }
    if (!value.type.is(TypeKind::integer) && !value.type.is(TypeKind::address)) return wrong(expr.span);
    if (value.number < least || value.number > most) {
      tell({.code = Code::out_of_range, .span = expr.span, .message = fmt::format("{} is outside of what {} takes", quote(expr.span), probe.name), .expected = std::string(describe(param.kind))});
      return std::nullopt;
    }
    return ProbeArgument{.kind = ProbeArgument::number, .number_value = value.number};
  };
  switch (param.kind) {
    case ParamKind::control_register: {
      auto argument = number_in(0, 8);
      if (argument && (argument->number_value == 1 || (argument->number_value >= 5 && argument->number_value <= 7))) {
        tell({.code = Code::out_of_range, .span = expr.span, .message = fmt::format("there is no CR{}", argument->number_value), .expected = std::string(describe(param.kind))});
        return std::nullopt;
      }
      return argument;
    }
    case ParamKind::vector: return number_in(0, 255);
    case ParamKind::port: return number_in(0, 65535);
    case ParamKind::hertz: return number_in(1, 10000);
    case ParamKind::request: return number_in(0, 63);
    case ParamKind::length: return number_in(1, 1ULL << 30);
    case ParamKind::duration: {
      auto value = rvalue(id);
      if (value.type.is(TypeKind::error)) return std::nullopt;
      if (value.type.is(TypeKind::integer) && value.literal) {
        const auto digits = std::string(source_.text(expr.span));
        tell({.code = Code::wrong_argument, .span = expr.span, .message = "a duration has a unit", .expected = std::string(describe(param.kind)), .fix = Fix{expr.span, digits + "s", fmt::format("write {}s, if seconds are meant", digits)}});
        return std::nullopt;
      }
      if (!value.constant || !value.type.is(TypeKind::duration)) return wrong(expr.span);
      if (value.number < 1'000'000 || value.number > 86'400'000'000'000) {
        tell({.code = Code::out_of_range, .span = expr.span, .message = fmt::format("{} is outside of what {} takes", quote(expr.span), probe.name), .expected = "1ms to 1d"});
        return std::nullopt;
      }
      return ProbeArgument{.kind = ProbeArgument::number, .number_value = value.number};
    }
    case ParamKind::msr: {
      if (expr.kind == Expr::Kind::name && !constants_.contains(expr.text)) {
        auto word = std::string_view(expr.text);
        if (word.starts_with("MSR_") || word.starts_with("IA32_")) word.remove_prefix(word.starts_with("MSR_") ? 4 : 5);
        Nearest nearest(word);
        for (const auto& msr : msr_names()) {
          if (msr.name == word) return ProbeArgument{.kind = ProbeArgument::number, .number_value = msr.index};
          nearest.offer(msr.name);
        }
        Diagnostic diagnostic{.code = Code::wrong_argument, .span = expr.span, .message = fmt::format("{} is not a model-specific register that is known by name", expr.text), .hint = "any can be given by its number"};
        suggest(diagnostic, nearest, expr.span);
        tell(std::move(diagnostic));
        return std::nullopt;
      }
      return number_in(0, UINT32_MAX);
    }
    case ParamKind::system_call: {
      if (expr.kind == Expr::Kind::name && !constants_.contains(expr.text)) {
        auto word = expr.text;
        if (const auto* found = find_system_call(word)) return ProbeArgument{.kind = ProbeArgument::number, .number_value = found->number};
        Nearest nearest(word);
        for (const std::string_view prefix : {"__x64_sys_", "sys_enter_", "sys_exit_", "sys_", "__NR_", "SYS_"}) {
          if (word.starts_with(prefix)) {
            nearest = Nearest(word.substr(prefix.size()));
            if (const auto* found = find_system_call(word.substr(prefix.size()))) {
              tell({.code = Code::unknown_system_call, .span = expr.span, .message = "system calls go by their plain names", .fix = Fix{expr.span, std::string(found->name), fmt::format("write {}", found->name)}});
              return std::nullopt;
            }
          }
        }
        for (const auto& call : system_calls()) nearest.offer(call.name);
        Diagnostic diagnostic{.code = Code::unknown_system_call, .span = expr.span, .message = fmt::format("there is no system call {}", word)};
        suggest(diagnostic, nearest, expr.span);
        tell(std::move(diagnostic));
        return std::nullopt;
      }
      auto value = rvalue(id);
      if (value.type.is(TypeKind::text) && value.constant) {
        std::size_t fits = 0;
        for (const auto& call : system_calls()) fits += glob_matches(value.text, call.name);
        if (fits == 0) {
          Diagnostic diagnostic{.code = Code::unknown_system_call, .span = expr.span, .message = fmt::format("no system call fits {}", quote(expr.span))};
          Nearest nearest(value.text);
          for (const auto& call : system_calls()) nearest.offer(call.name);
          if (value.text.find('*') == std::string::npos) suggest(diagnostic, nearest, expr.span);
          tell(std::move(diagnostic));
          return std::nullopt;
        }
        return ProbeArgument{.kind = ProbeArgument::pattern, .text_value = value.text};
      }
      return number_in(0, 4095);
    }
    case ParamKind::address:
    case ParamKind::code: {
      auto value = address_expression(id);
      if (value.type.is(TypeKind::error)) return std::nullopt;
      if (value.is_symbol) return ProbeArgument{.kind = ProbeArgument::symbol, .number_value = value.number, .text_value = value.text};
      if (value.type.is(TypeKind::text) && value.constant) {
        if (param.kind != ParamKind::code) {
          tell({.code = Code::wrong_argument, .span = expr.span, .message = fmt::format("{} takes an address, not a pattern", probe.name), .expected = std::string(describe(param.kind))});
          return std::nullopt;
        }
        if (value.text.find_first_of("*?") == std::string::npos) {
          tell({.code = Code::wrong_argument, .span = expr.span, .message = "a symbol stands without quotes; quotes hold a pattern", .fix = Fix{expr.span, value.text, fmt::format("write {}", value.text)}});
          return std::nullopt;
        }
        if (options_.ports.symbols != nullptr && options_.ports.symbols->count(value.text, 1) == 0) {
          tell({.code = Code::unknown_symbol, .span = expr.span, .message = fmt::format("no function of this kernel fits {}", quote(expr.span))});
          return std::nullopt;
        }
        return ProbeArgument{.kind = ProbeArgument::pattern, .text_value = value.text};
      }
      if (value.type.open()) return ProbeArgument{};
      if (!value.constant) {
        tell({.code = Code::not_constant, .span = expr.span, .message = fmt::format("an argument of {} is known before the script runs", probe.name), .hint = "what depends on the moment goes into `when (...)`"});
        return std::nullopt;
      }
      if (!want_address(value, "an address")) return std::nullopt;
      return ProbeArgument{.kind = ProbeArgument::number, .number_value = value.number};
    }
    case ParamKind::mac:
      if (expr.kind == Expr::Kind::star) return ProbeArgument{.kind = ProbeArgument::pattern, .text_value = "*"};
      if (expr.kind == Expr::Kind::mac) return ProbeArgument{.kind = ProbeArgument::number, .number_value = expr.value};
      return wrong(expr.span);
    case ParamKind::device:
      if (expr.kind == Expr::Kind::star) return ProbeArgument{.kind = ProbeArgument::pattern, .text_value = "*"};
      if ((expr.kind == Expr::Kind::name || expr.kind == Expr::Kind::string) && !expr.text.empty()) return ProbeArgument{.kind = ProbeArgument::text, .text_value = expr.text};
      return wrong(expr.span);
    default: break;
  }
  return wrong(expr.span);
}

std::vector<ProbeArgument> Compiler::probe_arguments(const ProbeInfo& probe, const ProbeHead& head) {
  std::vector<ProbeArgument> out;
  if (!count_arguments(probe, head.name_span, head.args)) return out;
  for (std::size_t i = 0; i < head.args.size() && i < probe.params.size(); ++i) {
    if (probe.params[i].kind == ParamKind::output) continue;
    if (auto argument = probe_argument(probe, probe.params[i], head.args[i])) out.push_back(std::move(*argument));
    else broken_ = true;
  }
  return out;
}

void Compiler::event(const Item& item, const Item* symptom) {
  bool first = true;
  for (const auto& head : item.heads) {
    const auto* probe = find_probe(head.name);
    if (probe == nullptr || probe->kind != ProbeKind::event || item.kind == Item::Kind::bad) {
      broken_ = true;
      probe_ = nullptr;
      // Its block is judged all the same, as if any event had it.
      lenient_ = true;
    } else {
      probe_ = probe;
    }
    symptom_ = symptom;
    needs_ = probe != nullptr ? probe->needs : 0;
    assumed_.clear();
    locals_.clear();
    loops_.clear();
    inlined_.clear();
    next_number_ = next_text_ = next_slot_ = most_numbers_ = most_texts_ = 0;
    left_ = false;
    floor_ = 0;
    ProgramProbe out{.line = source_.line_of(head.span.begin), .symptom = symptom != nullptr ? symptom->name : ""};
    if (probe != nullptr) {
      out.probe = static_cast<std::uint8_t>(probe - probes().data());
      const auto* held = std::exchange(probe_, nullptr);
      if (!head.broken) out.arguments = probe_arguments(*probe, head);
      probe_ = held;
      next_number_ = next_text_ = 0;
    }
    out.entry = static_cast<std::uint32_t>(here());
    {
      Scope scope(*this);
      if (item.when != ExprId::none) {
        auto decide = condition(item.when);
        if (!decide.type.open()) {
          const auto go = emit(Opcode::jump_if, 0, number(decide));
          emit(Opcode::halt);
          patch(go);
        }
      }
    }
    block(item.body);
    emit(Opcode::halt);
    out.end = static_cast<std::uint32_t>(here());
    out.numbers = static_cast<std::uint8_t>(most_numbers_);
    out.texts = static_cast<std::uint8_t>(most_texts_);
    if (first && item.body.empty()) {
      tell({.code = Code::empty_block, .span = head.span, .message = fmt::format("{} does nothing when it fires", head.name)});
    }
    first = false;
    if (probe != nullptr) {
      checked_.push_back({std::string(source_.text(head.span)), probe, needs_, head.span, out.line, assumed_});
      program_.needs |= needs_;
      program_.probes.push_back(std::move(out));
    }
    lenient_ = false;
    probe_ = nullptr;
    symptom_ = nullptr;
  }
}

void Compiler::stream(const Item& item) {
  const auto& head = item.heads.front();
  const auto* probe = find_probe(head.name);
  if (probe == nullptr) {
    broken_ = true;
    return;
  }
  assumed_.clear();
  ProgramProbe out{.line = source_.line_of(head.span.begin)};
  out.probe = static_cast<std::uint8_t>(probe - probes().data());
  out.arguments = probe_arguments(*probe, head);
  out.entry = out.end = static_cast<std::uint32_t>(here());
  if (head.args.size() == probe->params.size()) out.output = output(head.args.back());
  program_.needs |= probe->needs;
  checked_.push_back({std::string(source_.text(head.span)), probe, probe->needs, head.span, out.line, {}});
  program_.probes.push_back(std::move(out));
}

void Compiler::symptom(const Item& item) {
  SymptomInfo info{.name = item.name};
  bool has_severity = false, has_text = false;
  symptom_severity_ = 0;
  for (const auto& property : item.properties) {
    const Expr& value = script_.at(property.value);
    if (value.kind == Expr::Kind::bad) {
      broken_ = true;
      continue;
    }
    if (property.key == "severity") {
      has_severity = true;
      const auto at = std::find(severities().begin(), severities().end(), value.text);
      if (value.kind != Expr::Kind::name || at == severities().end()) {
        Diagnostic diagnostic{.code = Code::wrong_argument, .span = value.span, .message = fmt::format("{} is not a severity", quote(value.span)), .expected = "info, low, medium, high or critical"};
        Nearest nearest(value.text);
        for (const auto severity : severities()) nearest.offer(severity);
        suggest(diagnostic, nearest, value.span);
        tell(std::move(diagnostic));
      } else {
        info.severity = static_cast<std::uint8_t>(at - severities().begin());
        symptom_severity_ = info.severity;
      }
    } else if (property.key == "text" || property.key == "technique") {
      has_text = has_text || property.key == "text";
      if (value.kind != Expr::Kind::string) {
        tell({.code = Code::wrong_argument, .span = value.span, .message = fmt::format("{} is a string", property.key), .expected = fmt::format("{}: \"...\"", property.key)});
      } else {
        (property.key == "text" ? info.text : info.technique) = value.text;
      }
    } else {
      Nearest nearest(property.key);
      for (const std::string_view key : {"severity", "technique", "text"}) nearest.offer(key);
      Diagnostic diagnostic{.code = Code::unknown_property, .span = property.key_span, .message = fmt::format("a symptom has no {}", property.key), .expected = "severity, technique or text"};
      suggest(diagnostic, nearest, property.key_span);
      tell(std::move(diagnostic));
    }
  }
  const auto missing = !has_severity ? "a severity" : !has_text ? "a text" : item.items.empty() ? "a probe" : "";
  if (*missing != '\0') tell({.code = Code::missing_property, .span = item.name_span, .message = fmt::format("the symptom {} lacks {}", item.name, missing)});
  program_.symptoms.push_back(std::move(info));
  for (const auto id : item.items) {
    const Item& inner = script_.at(id);
    if (inner.kind == Item::Kind::event) {
      event(inner, &item);
    } else if (inner.kind == Item::Kind::bad) {
      event(inner, &item);
      broken_ = true;
    } else {
      tell({.code = Code::misplaced, .span = inner.name_span, .message = "in a symptom stand event probes alone", .hint = "const, fn and streams stand at the top of the script"});
    }
  }
}

void Compiler::function_alone(const Item& item) {
  const auto code = program_.code.size();
  lenient_ = true;
  probe_ = nullptr;
  locals_.clear();
  next_number_ = next_text_ = 0;
  Expr call{.kind = Expr::Kind::call, .span = item.name_span, .name_span = item.name_span, .text = item.name};
  Scope scope(*this);
  inlined_.clear();
  inlined_.push_back({&item, false, {}, {}});
  for (const auto& parameter : item.parameters) {
    declare_local({parameter.name, parameter.span, Value{.type = type_of(TypeKind::unknown), .span = parameter.span}, false}, Code::unused_parameter);
  }
  const bool incomplete = incomplete_;
  left_ = false;
  if (item.value != ExprId::none) (void)rvalue(item.value);
  else block(item.body);
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
    if (used_.contains(where)) continue;
    const auto& [span, code] = what;
    const auto name = source_.text(span);
    std::string_view verb = code == Code::unused_fn ? "is never called" : code == Code::unused_row ? "is never looked at: each turn does the same" : "is never used";
    tell({.code = code, .span = span, .message = fmt::format("{} {}", name, verb), .hint = code == Code::unused_row ? "" : "remove it, or start its name with _"});
  }
  for (const auto& [name, map] : maps_) {
    if (map.read && !map.written) {
      Nearest nearest(name);
      for (const auto& other : maps_) {
        if (other.second.written) nearest.offer(other.first);
      }
      Diagnostic diagnostic{.code = Code::unwritten_map, .span = map.first_read, .message = fmt::format("nothing writes @{}: what is read from it is always missing", name)};
      if (nearest.found()) diagnostic.label = fmt::format("did you mean @{}?", nearest.best());
      tell(std::move(diagnostic));
    }
  }
  if (maps_.size() > kMaxMaps) {
    tell({.code = Code::too_many, .span = maps_.begin()->second.first_keys, .message = fmt::format("a script has at most {} maps; here are {}", kMaxMaps, maps_.size())});
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
    tell({.code = Code::empty_script, .span = {0, std::min<std::uint32_t>(end, 1)}, .message = "the script has no probe: it would start and do nothing"});
  }
}

}  // namespace vitrine::vmipl
