// Names: variables, constants, the moment, fields of events, symbols.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/compiler.h"
#include "vmipl/habits.h"

namespace vitrine::vmipl {

Value Compiler::name(const Expr& expr) {
  for (std::size_t i = locals_.size(); i > floor_; --i) {
    const auto& local = locals_[i - 1];
    if (local.name != expr.text) continue;
    used_.insert(local.span.begin);
    Value value = local.value;
    value.span = expr.span;
    return value;
  }
  if (undeclared_.contains(expr.text)) return unknown(expr.span);
  if (const auto constant = constants_.find(expr.text); constant != constants_.end())
    return constant_item(*constant->second, expr);
  if (const auto* found = find_moment("", expr.text)) return moment(*found, expr.span);
  if (is_moment_group(expr.text) || expr.text == "event" || expr.text == "reg" ||
      expr.text == "phys") {
    Value value{.type = type_of(TypeKind::group), .span = expr.span};
    value.group = expr.text;
    return value;
  }
  if (options_.ports.types != nullptr) {
    if (const auto number = options_.ports.types->enumerator(expr.text)) {
      program_.fixed = true;
      return number_constant(static_cast<std::uint64_t>(*number), type_of(TypeKind::integer),
                             expr.span);
    }
  }
  return unknown_name(expr);
}

Value Compiler::unknown_name(const Expr& expr) {
  const auto& word = expr.text;
  const auto tell_fix = [&](std::string message, std::string ours) {
    return mistake({.code = Code::unknown_name,
                    .span = expr.span,
                    .message = std::move(message),
                    .fix = Fix{expr.span, ours, fmt::format("write {}", ours)}});
  };
  if (const auto* function = find_function(word);
      function != nullptr || functions_.contains(word)) {
    return mistake(
        {.code = Code::unknown_name,
         .span = expr.span,
         .message = fmt::format("{} is a function: it is called", word),
         .expected = function != nullptr ? std::string(function->written) : word + "(...)"});
  }
  if (options_.ports.symbols != nullptr && options_.ports.symbols->find(word))
    return symbol(word, expr.span);
  if (options_.ports.views != nullptr && options_.ports.views->columns(word)) {
    return mistake({.code = Code::unknown_name,
                    .span = expr.span,
                    .message = fmt::format("{} is a view: its rows come one by one", word),
                    .expected = fmt::format("for (row in {}) {{ ... }}", word)});
  }
  if (const auto reg = find_register(word)) {
    return tell_fix(fmt::format("a register's value is reg.{}", registers()[*reg].name),
                    fmt::format("reg.{}", registers()[*reg].name));
  }
  if (const auto number = number_habit(word)) {
    return mistake(
        {.code = Code::unknown_name,
         .span = expr.span,
         .message = fmt::format("{} is the number {} here", word, *number),
         .hint = word.front() == 'E' ? fmt::format("a call that fails returns -{}", *number) : "",
         .fix = Fix{expr.span, fmt::format("{}", *number), fmt::format("write {}", *number)}});
  }
  if (const auto ours = value_habit(word); !ours.empty())
    return tell_fix(fmt::format("there is no {}: here it is called {}", word, ours),
                    std::string(ours));

  if (const auto* probe = word == "Stop" ? stop_action() : find_probe(word);
      probe != nullptr && probe->kind == ProbeKind::action) {
    const auto behind = source_.text().substr(expr.span.end);
    const auto next = behind.find_first_not_of(" \t\r\n");
    if (word == "Stop" && next != std::string_view::npos && behind[next] == '{') {
      return mistake(
          {.code = Code::unknown_name,
           .span = expr.span,
           .message = "Stop { } is a probe: it stands at the top of a script, not in a block",
           .hint = "the action is Stop()"});
    }
    const bool bare = probe->params.empty();
    Diagnostic diagnostic{.code = Code::unknown_name,
                          .span = expr.span,
                          .message = fmt::format("{} is an action: it is called", word),
                          .fix = {}};
    if (bare)
      diagnostic.fix = Fix{expr.span, word + "()", fmt::format("write {}()", word)};
    else
      diagnostic.expected = signature(*probe);
    return mistake(std::move(diagnostic));
  }
  if (word == "args") {
    return mistake({.code = Code::unknown_name,
                    .span = expr.span,
                    .message = "arguments have no names here: they are arg0 to arg5",
                    .hint = "text that one points to is string(arg1)"});
  }

  Nearest nearest(word);
  for (std::size_t i = floor_; i < locals_.size(); ++i) nearest.offer(locals_[i].name);
  for (const auto& constant : constants_) nearest.offer(constant.first);
  for (const auto& moment : moments()) {
    if (moment.group.empty()) nearest.offer(moment.name);
  }
  for (const std::string_view group : {"process", "thread", "syscall", "event", "reg"})
    nearest.offer(group);
  if (word == "true" || word == "True" || word == "TRUE") nearest.offer("true");
  if (word == "False" || word == "FALSE") nearest.offer("false");

  const bool capitals = word.size() > 1 && std::none_of(word.begin(), word.end(), [](char c) {
                          return c >= 'a' && c <= 'z';
                        });
  if (options_.ports.types == nullptr && !nearest.found() && capitals) {
    tell({.code = Code::unchecked_symbol,
          .span = expr.span,
          .message =
              fmt::format("{} is taken for an enumerator of the guest's kernel, unchecked", word),
          .hint = "check with --vm VM or --kernel FILE to be sure"});
    return unknown(expr.span);
  }
  if (options_.ports.symbols == nullptr && !bare_statement_ &&
      (!nearest.found() || in_address_ > 0) && !(word.front() >= 'A' && word.front() <= 'Z')) {
    if (in_address_ == 0) {
      tell({.code = Code::unchecked_symbol,
            .span = expr.span,
            .message =
                fmt::format("{} is taken for a symbol of the guest's kernel, unchecked", word),
            .hint = fmt::format(
                "write &{} if that is meant; check with --vm VM or --kernel FILE to be sure",
                word)});
    }
    return symbol(word, expr.span);
  }
  Diagnostic diagnostic{.code = Code::unknown_name,
                        .span = expr.span,
                        .message = fmt::format("{} means nothing here", word)};
  if (!nearest.found() && options_.ports.symbols != nullptr) {
    diagnostic.message = fmt::format("{} is neither declared nor a symbol of this kernel", word);
    if (in_address_ > 0) {
      diagnostic.code = Code::unknown_symbol;
      diagnostic.message = fmt::format("this kernel has no symbol {}", word);
    }
    nearest.offer(options_.ports.symbols->similar(word));
  }
  suggest(diagnostic, nearest, expr.span);
  if (bare_statement_ && !diagnostic.fix && diagnostic.hint.empty())
    diagnostic.hint = "a statement does something: Print(...), @count += 1, let x = 1";
  return mistake(std::move(diagnostic));
}

Value Compiler::symbol(std::string name, Span span) {
  Value value{.type = type_of(TypeKind::address), .span = span};
  value.is_symbol = true;
  value.text = std::move(name);
  if (options_.ports.symbols == nullptr) {
    if (std::find(assumed_.begin(), assumed_.end(), value.text) == assumed_.end())
      assumed_.push_back(value.text);
    incomplete_ = true;
  }
  return value;
}

Value Compiler::constant_item(const Item& item, const Expr& use) {
  used_.insert(item.name_span.begin);
  if (const auto known = constant_values_.find(&item); known != constant_values_.end()) {
    auto value = known->second;
    value.span = use.span;
    return value;
  }
  if (std::find(const_stack_.begin(), const_stack_.end(), item.name) != const_stack_.end()) {
    return mistake({.code = Code::recursion,
                    .span = item.name_span,
                    .message = fmt::format("{} is defined by itself", item.name)});
  }
  const_stack_.push_back(item.name);
  const auto floor = std::exchange(floor_, locals_.size());
  auto value = expression(item.value);
  floor_ = floor;
  const_stack_.pop_back();
  if (!value.constant && !value.is_symbol && !value.type.open()) {
    value = mistake(
        {.code = Code::not_constant,
         .span = value.span,
         .message = fmt::format("{} is not known before the script runs", quote(value.span)),
         .hint = "a const is made of numbers, text, other constants and symbols"});
  }
  value.literal = false;
  value.span = use.span;
  if (value.constant && !value.in_register) constant_values_.emplace(&item, value);
  return value;
}

Value Compiler::moment(const MomentInfo& info, Span span) {
  if (probe_ == nullptr && !lenient_) {
    return mistake(
        {.code = Code::not_constant,
         .span = span,
         .message = fmt::format("{} is not known before the script runs", source_.text(span)),
         .hint = "what depends on the moment goes into `when (...)` or into the block"});
  }
  const auto carries = probe_ != nullptr ? probe_->carries : 0;
  if (!lenient_ && (info.carries & ~carries) != 0) {
    const auto full =
        info.group.empty() ? std::string(info.name) : fmt::format("{}.{}", info.group, info.name);
    Diagnostic diagnostic{.code = Code::not_here,
                          .span = span,
                          .message = fmt::format("{} does not carry {}", probe_->name, full)};
    const auto missing = info.carries & ~carries;
    if ((missing & Carries::moment) != 0)
      diagnostic.hint =
          info.group == "process"
              ? "it runs on the host's clock, at no process: for (p in processes) goes "
                "over them all"
              : "it runs on the host's clock: no virtual CPU stands at an event then";
    else if ((missing & Carries::result) != 0)
      diagnostic.hint = "`ret` belongs to Return and SyscallReturn";
    else if ((missing & Carries::arguments) != 0)
      diagnostic.hint =
          "arguments belong to ExecuteAt, Syscall and SyscallReturn; registers are reg.rdi ...";
    else
      diagnostic.hint = "it belongs to Syscall and SyscallReturn";
    return mistake(std::move(diagnostic));
  }
  const auto at = static_cast<std::int32_t>(&info - moments().data());
  Type type = type_of(info.type);
  if (!info.guest_type.empty() && options_.ports.types != nullptr) {
    if (const auto guest = options_.ports.types->find(fmt::format("struct {}", info.guest_type))) {
      type = type_of(TypeKind::pointer);
      type.has_guest = true;
      type.guest = *guest;
    }
  } else if (!info.guest_type.empty()) {
    type = type_of(TypeKind::pointer);
  }
  if (type.textual()) {
    const auto reg = new_text();
    emit(Opcode::moment_text, reg, 0, 0, at);
    auto value = result(type, span, reg);
    if (info.name == "name" && info.group != "syscall") value.longest = 15;
    return value;
  }
  const auto reg = new_number();
  emit(Opcode::moment, reg, 0, 0, at);
  auto value = result(type, span, reg);
  value.argument = (info.carries & Carries::arguments) != 0;
  return value;
}

Value Compiler::event_field(std::string_view name, Span name_span, Span span) {
  if (lenient_) return unknown(span);
  if (probe_ == nullptr) return error(span);
  for (std::size_t i = 0; i < probe_->fields.size(); ++i) {
    const auto& field = probe_->fields[i];
    if (field.name != name) continue;
    const Type type = type_of(field.type);
    const auto reg = type.textual() ? new_text() : new_number();
    emit(type.textual() ? Opcode::event_text : Opcode::event, reg, 0, 0,
         static_cast<std::int32_t>(i));
    return result(type, span, reg);
  }
  Nearest nearest(name);
  std::vector<std::string_view> names;
  for (const auto& field : probe_->fields) {
    nearest.offer(field.name);
    names.push_back(field.name);
  }
  bool elsewhere = false;
  for (const auto& probe : probes()) {
    for (const auto& field : probe.fields) elsewhere = elsewhere || field.name == name;
  }
  Diagnostic diagnostic{.code = elsewhere ? Code::not_here : Code::unknown_field,
                        .span = name_span,
                        .message = fmt::format("{} does not carry event.{}", probe_->name, name)};
  if (!names.empty())
    diagnostic.expected = fmt::format("event.{}", fmt::join(names, ", event."));
  else
    diagnostic.hint = fmt::format("the event of {} has no fields", probe_->name);
  suggest(diagnostic, nearest, name_span);
  return mistake(std::move(diagnostic));
}

}  // namespace vitrine::vmipl
