// Event probes with their arguments, streams, symptoms.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "vmipl/characters.h"
#include "vmipl/compiler.h"
#include "vmipl/habits.h"
#include "vmipl/module_pattern.h"

namespace vitrine::vmipl {

std::optional<ProbeArgument> Compiler::probe_argument(const ProbeInfo& probe, const Param& param,
                                                      ExprId id) {
  const Expr& expr = script_.at(id);
  if (expr.kind == Expr::Kind::bad) {
    broken_ = true;
    return std::nullopt;
  }
  const auto wrong = [&](Span span) -> std::optional<ProbeArgument> {
    tell({.code = Code::wrong_argument,
          .span = span,
          .message = fmt::format("{} is not what {} takes here", quote(span), probe.name),
          .expected = std::string(describe(param.kind))});
    return std::nullopt;
  };
  const auto number_in = [&](std::uint64_t least,
                             std::uint64_t most) -> std::optional<ProbeArgument> {
    ++in_address_;  // a symbol is told of below, as no number
    auto value = rvalue(id);
    --in_address_;
    if (value.type.is(TypeKind::error)) return std::nullopt;
    if (value.is_symbol || (!value.constant && value.type.open())) {
      if (value.is_symbol) return wrong(expr.span);
      return ProbeArgument{};
    }
    if (!value.constant) {
      tell({.code = Code::not_constant,
            .span = expr.span,
            .message = fmt::format("an argument of {} is known before the script runs", probe.name),
            .hint = "what depends on the moment goes into `when (...)`"});
      return std::nullopt;
    }
    if (!value.type.is(TypeKind::integer) && !value.type.is(TypeKind::address))
      return wrong(expr.span);
    if (value.number < least || value.number > most) {
      tell({.code = Code::out_of_range,
            .span = expr.span,
            .message = fmt::format("{} is outside of what {} takes", quote(expr.span), probe.name),
            .expected = std::string(describe(param.kind))});
      return std::nullopt;
    }
    return ProbeArgument{.kind = ProbeArgument::number, .number_value = value.number};
  };
  /// What is written in its place: "14" for Exception("page_fault").
  const auto rather = [&](std::string_view why, std::string ours) -> std::optional<ProbeArgument> {
    tell({.code = Code::wrong_argument,
          .span = expr.span,
          .message = std::string(why),
          .fix = Fix{expr.span, ours, fmt::format("write {}", ours)}});
    return std::nullopt;
  };
  // A word, quoted or not, that no const is called by.
  const bool quoted = expr.kind == Expr::Kind::string;
  const auto word = quoted || (expr.kind == Expr::Kind::name && !constants_.contains(expr.text))
                        ? std::string_view(expr.text)
                        : std::string_view();
  switch (param.kind) {
    case ParamKind::control_register: {
      if (word.size() == 3 && (word.starts_with("CR") || word.starts_with("cr")) &&
          word[2] >= '0' && word[2] <= '8')
        return rather("control registers go by their numbers", std::string(1, word[2]));
      auto argument = number_in(0, 8);
      if (argument && (argument->number_value == 1 ||
                       (argument->number_value >= 5 && argument->number_value <= 7))) {
        tell({.code = Code::out_of_range,
              .span = expr.span,
              .message = fmt::format("there is no CR{}", argument->number_value),
              .expected = std::string(describe(param.kind))});
        return std::nullopt;
      }
      return argument;
    }
    case ParamKind::vector:
      if (const auto vector = exception_habit(word))
        return rather("exceptions go by their vectors", fmt::format("{}", *vector));
      return number_in(0, 255);
    case ParamKind::port:
      return number_in(0, 65535);
    case ParamKind::hertz:
      return number_in(1, 10000);
    case ParamKind::request:
      return number_in(0, 63);
    case ParamKind::length:
      return number_in(1, 1ULL << 30);
    case ParamKind::duration: {
      if (quoted && !word.empty() && word.front() >= '0' && word.front() <= '9')
        return rather("a duration stands without quotes", expr.text);
      auto value = rvalue(id);
      if (value.type.is(TypeKind::error)) return std::nullopt;
      if (value.type.is(TypeKind::integer) && value.literal) {
        const auto digits = std::string(source_.text(expr.span));
        tell({.code = Code::wrong_argument,
              .span = expr.span,
              .message = "a duration has a unit",
              .expected = std::string(describe(param.kind)),
              .fix = Fix{expr.span, digits + "s",
                         fmt::format("write {}s, if seconds are meant", digits)}});
        return std::nullopt;
      }
      if (!value.constant || !value.type.is(TypeKind::duration)) return wrong(expr.span);
      if (value.number < 1'000'000 || value.number > 86'400'000'000'000) {
        tell(
            {.code = Code::out_of_range,
             .span = expr.span,
             .message = fmt::format("{} is outside of what {} takes", quote(expr.span), probe.name),
             .expected = "1ms to 1d"});
        return std::nullopt;
      }
      return ProbeArgument{.kind = ProbeArgument::number, .number_value = value.number};
    }
    case ParamKind::msr: {
      if (!word.empty()) {
        auto plain = word;
        if (plain.starts_with("MSR_") || plain.starts_with("IA32_"))
          plain.remove_prefix(plain.starts_with("MSR_") ? 4 : 5);
        Nearest nearest(plain);
        for (const auto& msr : msr_names()) {
          if (msr.name == plain && quoted)
            return rather("a register stands without quotes", std::string(plain));
          if (msr.name == plain)
            return ProbeArgument{.kind = ProbeArgument::number, .number_value = msr.index};
          nearest.offer(msr.name);
        }
        Diagnostic diagnostic{
            .code = Code::wrong_argument,
            .span = expr.span,
            .message =
                fmt::format("{} is not a model-specific register that is known by name", expr.text),
            .hint = "any can be given by its number"};
        suggest(diagnostic, nearest, expr.span);
        tell(std::move(diagnostic));
        return std::nullopt;
      }
      return number_in(0, UINT32_MAX);
    }
    case ParamKind::system_call: {
      if (expr.kind == Expr::Kind::name && !constants_.contains(expr.text)) {
        if (const auto* found = find_system_call(word))
          return ProbeArgument{.kind = ProbeArgument::number, .number_value = found->number};
        Nearest nearest(word);
        for (const std::string_view prefix :
             {"__x64_sys_", "sys_enter_", "sys_exit_", "sys_", "__NR_", "SYS_"}) {
          if (word.starts_with(prefix)) {
            nearest = Nearest(word.substr(prefix.size()));
            if (const auto* found = find_system_call(word.substr(prefix.size()))) {
              tell({.code = Code::unknown_system_call,
                    .span = expr.span,
                    .message = "system calls go by their plain names",
                    .fix = Fix{expr.span, std::string(found->name),
                               fmt::format("write {}", found->name)}});
              return std::nullopt;
            }
          }
        }
        for (const auto& call : system_calls()) nearest.offer(call.name);
        Diagnostic diagnostic{.code = Code::unknown_system_call,
                              .span = expr.span,
                              .message = fmt::format("there is no system call {}", word)};
        suggest(diagnostic, nearest, expr.span);
        tell(std::move(diagnostic));
        return std::nullopt;
      }
      auto value = rvalue(id);
      if (value.type.is(TypeKind::text) && value.constant) {
        std::size_t fits = 0;
        for (const auto& call : system_calls()) fits += glob_matches(value.text, call.name);
        if (fits == 0) {
          Diagnostic diagnostic{.code = Code::unknown_system_call,
                                .span = expr.span,
                                .message = fmt::format("no system call fits {}", quote(expr.span))};
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
      // What compilers made of it: finish_task_switch.isra.0.
      const auto* symbols = options_.ports.symbols;
      if (const auto parts = std::string(word) + ".*";
          param.kind == ParamKind::code && !word.empty() && symbols != nullptr &&
          std::ranges::all_of(word, [](char c) { return is_word(c); }) &&
          find_moment("", word) == nullptr && !symbols->find(word) &&
          symbols->count(parts, 1) > 0) {
        tell(
            {.code = Code::unknown_symbol,
             .span = expr.span,
             .message = fmt::format("this kernel has {} under names of the compiler's alone", word),
             .fix =
                 Fix{expr.span, fmt::format("\"{}\"", parts), fmt::format("write \"{}\"", parts)}});
        return std::nullopt;
      }
      auto value = address_expression(id);
      if (value.type.is(TypeKind::error)) return std::nullopt;
      // Without * and ?, quotes change nothing: it is that symbol.
      // Quotes also hold names that stand nowhere else: "finish_task_switch.isra.0".
      const bool plain = value.type.is(TypeKind::text) && value.constant && !value.text.empty() &&
                         std::ranges::all_of(value.text, [&param](char c) {
                           return is_word(c) || (c == '.' && param.kind == ParamKind::code);
                         });
      if (plain && param.kind == ParamKind::code) {
        Expr unquoted{.kind = Expr::Kind::name, .span = expr.span, .text = value.text};
        ++in_address_;
        value = unknown_name(unquoted);
        --in_address_;
        if (value.type.is(TypeKind::error)) return std::nullopt;
      } else if (plain) {
        return rather("a symbol stands without quotes here", value.text);
      }
      if (value.is_symbol && value.number != 0 && probe.name == "Return") {
        tell({.code = Code::wrong_argument,
              .span = expr.span,
              .message = "a function returns, not an instruction within it",
              .fix = Fix{expr.span, value.text, fmt::format("write {}", value.text)}});
        return std::nullopt;
      }
      if (value.is_symbol)
        return ProbeArgument{
            .kind = ProbeArgument::symbol, .number_value = value.number, .text_value = value.text};
      if (value.type.is(TypeKind::text) && value.constant) {
        if (value.text.find(':') != std::string::npos) return module_argument(value, param.kind);
        if (param.kind != ParamKind::code) {
          tell({.code = Code::wrong_argument,
                .span = expr.span,
                .message = fmt::format("{} takes an address, not a pattern", probe.name),
                .expected = std::string(describe(param.kind))});
          return std::nullopt;
        }
        if (value.text.find_first_of("*?") == std::string::npos) {
          tell({.code = Code::wrong_argument,
                .span = expr.span,
                .message = "a symbol stands without quotes; quotes hold a pattern",
                .fix = Fix{expr.span, value.text, fmt::format("write {}", value.text)}});
          return std::nullopt;
        }
        if (options_.ports.symbols != nullptr &&
            options_.ports.symbols->count(value.text, 1) == 0) {
          tell({.code = Code::unknown_symbol,
                .span = expr.span,
                .message = fmt::format("no function of this kernel fits {}", quote(expr.span))});
          return std::nullopt;
        }
        return ProbeArgument{.kind = ProbeArgument::pattern, .text_value = value.text};
      }
      if (value.type.open()) return ProbeArgument{};
      if (!value.constant) {
        tell({.code = Code::not_constant,
              .span = expr.span,
              .message =
                  fmt::format("an argument of {} is known before the script runs", probe.name),
              .hint = "what depends on the moment goes into `when (...)`"});
        return std::nullopt;
      }
      if (!want_address(value, "an address")) return std::nullopt;
      return ProbeArgument{.kind = ProbeArgument::number, .number_value = value.number};
    }
    case ParamKind::mac:
      if (expr.kind == Expr::Kind::star)
        return ProbeArgument{.kind = ProbeArgument::pattern, .text_value = "*"};
      if (expr.kind == Expr::Kind::mac)
        return ProbeArgument{.kind = ProbeArgument::number, .number_value = expr.value};
      return wrong(expr.span);
    case ParamKind::device:
      if (expr.kind == Expr::Kind::star)
        return ProbeArgument{.kind = ProbeArgument::pattern, .text_value = "*"};
      if ((expr.kind == Expr::Kind::name || expr.kind == Expr::Kind::string) && !expr.text.empty())
        return ProbeArgument{.kind = ProbeArgument::text, .text_value = expr.text};
      return wrong(expr.span);
    default:
      break;
  }
  return wrong(expr.span);
}

/// "MODULE:SYMBOL": of a module that may be loaded later.
std::optional<ProbeArgument> Compiler::module_argument(const Value& value, ParamKind kind) {
  const auto [module, pattern] = *module_pattern(value.text);
  const bool code = kind == ParamKind::code;
  const auto words = [](std::string_view text, std::string_view more) {
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
      return is_word(c) || more.find(c) != std::string_view::npos;
    });
  };
  if (!words(module, "-") || !words(pattern, code ? ".*?" : ".")) {
    tell({.code = Code::wrong_argument,
          .span = value.span,
          .message = fmt::format("{} is no name of a module's", quote(value.span)),
          .hint = code ? "\"MODULE:FUNCTION\" or \"MODULE:PATTERN\" is one"
                       : "\"MODULE:SYMBOL\" is one, without * and ?"});
    return std::nullopt;
  }
  // That it fits nothing now is no mistake: what a module starts by is gone when it has started.
  return ProbeArgument{.kind = ProbeArgument::pattern, .text_value = value.text};
}

std::vector<ProbeArgument> Compiler::probe_arguments(const ProbeInfo& probe,
                                                     const ProbeHead& head) {
  std::vector<ProbeArgument> out;
  if (!count_arguments(probe, head.name_span, head.args)) return out;
  for (std::size_t i = 0; i < head.args.size() && i < probe.params.size(); ++i) {
    if (probe.params[i].kind == ParamKind::output) continue;
    if (auto argument = probe_argument(probe, probe.params[i], head.args[i]))
      out.push_back(std::move(*argument));
    else
      broken_ = true;
  }
  // A range that leads past the last address would begin anew at the first.
  if (out.size() == 2 && probe.params[0].kind == ParamKind::address &&
      out[0].kind == ProbeArgument::number && out[1].number_value != 0 &&
      out[0].number_value > UINT64_MAX - (out[1].number_value - 1)) {
    tell({.code = Code::out_of_range,
          .span = script_.at(head.args[1]).span,
          .message = "this range ends beyond the last address"});
    broken_ = true;
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
    undeclared_.clear();
    loops_.clear();
    inlined_.clear();
    next_number_ = next_text_ = next_slot_ = most_numbers_ = most_texts_ = 0;
    left_ = false;
    floor_ = 0;
    ProgramProbe out{.line = source_.line_of(head.span.begin),
                     .symptom = symptom != nullptr ? symptom->name : ""};
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
      tell({.code = Code::empty_block,
            .span = head.span,
            .message = fmt::format("{} does nothing when it fires", head.name)});
    }
    first = false;
    if (probe != nullptr) {
      checked_.push_back(
          {std::string(source_.text(head.span)), probe, needs_, head.span, out.line, assumed_});
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
  checked_.push_back(
      {std::string(source_.text(head.span)), probe, probe->needs, head.span, out.line, {}});
  program_.probes.push_back(std::move(out));
}

void Compiler::symptom(const Item& item) {
  SymptomInfo info{.name = item.name};
  bool has_severity = false, has_text = false;
  std::set<std::string_view> given;
  symptom_severity_ = 0;
  for (const auto& property : item.properties) {
    const Expr& value = script_.at(property.value);
    if (value.kind == Expr::Kind::bad) {
      broken_ = true;
      continue;
    }
    if (!given.insert(property.key).second)
      tell({.code = Code::duplicate_key,
            .span = property.key_span,
            .message = fmt::format("{} is given twice; the last counts", property.key)});
    if (property.key == "severity") {
      has_severity = true;
      const auto at = std::find(severities().begin(), severities().end(), value.text);
      if (value.kind != Expr::Kind::name || at == severities().end()) {
        Diagnostic diagnostic{.code = Code::wrong_argument,
                              .span = value.span,
                              .message = fmt::format("{} is not a severity", quote(value.span)),
                              .expected = "info, low, medium, high or critical"};
        Nearest nearest(value.text);
        for (const auto severity : severities()) nearest.offer(severity);
        suggest(diagnostic, nearest, value.span);
        if (value.kind == Expr::Kind::string && at != severities().end()) {
          diagnostic.message = "a severity stands without quotes";
          diagnostic.label.clear();
          diagnostic.fix = Fix{value.span, value.text, fmt::format("write {}", value.text)};
        }
        tell(std::move(diagnostic));
      } else {
        info.severity = static_cast<std::uint8_t>(at - severities().begin());
        symptom_severity_ = info.severity;
      }
    } else if (property.key == "text" || property.key == "technique") {
      has_text = has_text || property.key == "text";
      if (value.kind != Expr::Kind::string) {
        tell({.code = Code::wrong_argument,
              .span = value.span,
              .message = fmt::format("{} is a string", property.key),
              .expected = fmt::format("{}: \"...\"", property.key)});
      } else {
        (property.key == "text" ? info.text : info.technique) = value.text;
      }
    } else {
      Nearest nearest(property.key);
      for (const std::string_view key : {"severity", "technique", "text"}) nearest.offer(key);
      Diagnostic diagnostic{.code = Code::unknown_property,
                            .span = property.key_span,
                            .message = fmt::format("a symptom has no {}", property.key),
                            .expected = "severity, technique or text"};
      suggest(diagnostic, nearest, property.key_span);
      tell(std::move(diagnostic));
    }
  }
  const auto missing = !has_severity        ? "a severity"
                       : !has_text          ? "a text"
                       : item.items.empty() ? "a probe"
                                            : "";
  if (*missing != '\0')
    tell({.code = Code::missing_property,
          .span = item.name_span,
          .message = fmt::format("the symptom {} lacks {}", item.name, missing)});
  program_.symptoms.push_back(std::move(info));
  for (const auto id : item.items) {
    const Item& inner = script_.at(id);
    if (inner.kind == Item::Kind::event) {
      event(inner, &item);
    } else if (inner.kind == Item::Kind::bad) {
      event(inner, &item);
      broken_ = true;
    } else {
      tell({.code = Code::misplaced,
            .span = inner.name_span,
            .message = "in a symptom stand event probes alone",
            .hint = "const, fn and streams stand at the top of the script"});
    }
  }
}

}  // namespace vitrine::vmipl
