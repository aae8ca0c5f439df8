// Calls: the language's functions, the script's own (expanded in place), actions and data probes.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/compiler.h"
#include "vmipl/habits.h"

namespace vitrine::vmipl {
namespace {

constexpr unsigned kMaxInlineDepth = 16;

char lower_case(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

Value Compiler::call(const Expr& expr) {
  if (const auto own = functions_.find(expr.text); own != functions_.end())
    return inlined(expr, *own->second);
  if (const auto* function = find_function(expr.text)) {
    if (function->kind == FunctionKind::aggregate) return aggregation(expr, *function);
    if (function->kind == FunctionKind::map_statement) return map_statement(expr, *function);
    return function_call(expr, *function);
  }
  const char first = expr.text.front();
  if (first >= 'A' && first <= 'Z') {
    const auto* probe = expr.text == "Stop" ? stop_action() : find_probe(expr.text);
    if (probe == nullptr) {
      for (const auto arg : expr.args) (void)expression(arg);
      return error(expr.span);  // told by the parser
    }
    return act(expr, *probe);
  }
  Nearest nearest(expr.text);
  for (const auto& function : functions()) nearest.offer(function.name);
  for (const auto& function : functions_) nearest.offer(function.first);
  Diagnostic diagnostic{.code = Code::unknown_function,
                        .span = expr.name_span,
                        .message = fmt::format("there is no function called {}", expr.text)};
  if (const auto ours = function_habit(expr.text); !ours.empty()) {
    diagnostic.label = fmt::format("here it is called {}", ours);
    diagnostic.fix = Fix{expr.name_span, std::string(ours), fmt::format("write {}", ours)};
  }
  if (const auto* value = find_moment("", expr.text)) {
    diagnostic.message = fmt::format("{} is a value: it is not called", value->name);
    diagnostic.fix = Fix{expr.span, expr.text, fmt::format("write {}", expr.text)};
  } else if (const auto hint = function_hint(expr.text); !hint.empty()) {
    diagnostic.hint = hint;
  } else if (const auto meant = value_habit(expr.text); !meant.empty() && !diagnostic.fix) {
    diagnostic.label = fmt::format("here it is called {}", meant);
    diagnostic.fix = Fix{expr.span, std::string(meant), fmt::format("write {}", meant)};
  }
  // stop(), report(...): actions begin with a capital.
  for (const auto& probe : probes()) {
    const bool action = probe.kind != ProbeKind::event && probe.kind != ProbeKind::stream;
    if (diagnostic.fix || (!action && probe.name != "Stop") ||
        !std::ranges::equal(probe.name, expr.text, {}, lower_case, lower_case))
      continue;
    diagnostic.fix =
        Fix{expr.name_span, std::string(probe.name), fmt::format("write {}", probe.name)};
  }
  if (!diagnostic.fix && diagnostic.hint.empty()) suggest(diagnostic, nearest, expr.name_span);
  for (const auto arg : expr.args) {
    const Expr& argument = script_.at(arg);
    // It may be of whole maps.
    if (argument.kind != Expr::Kind::map || argument.has_keys) (void)expression(arg);
  }
  return mistake(std::move(diagnostic));
}

bool Compiler::want_text(Value& value, std::string_view what, bool or_list) {
  if (value.type.is(TypeKind::error)) return false;
  if (value.type.is(TypeKind::unknown) || value.type.is(TypeKind::text) ||
      value.type.is(TypeKind::bytes) || (or_list && value.type.is(TypeKind::list)))
    return true;
  if (value.type.textual()) {
    tell({.code = Code::wrong_type,
          .span = value.span,
          .message = fmt::format("{} is text; this is {}", what, describe(value.type.kind)),
          .hint = value.type.is(TypeKind::list)
                      ? "contains(list, text) looks into a list"
                      : "a stack is printed by %s, or is the key of a map"});
    broken_ = true;
    return false;
  }
  tell({.code = Code::wrong_type,
        .span = value.span,
        .message = fmt::format("{} is text; this is {}", what, describe(value.type.kind)),
        .hint = value.type.is(TypeKind::address) || value.type.is(TypeKind::pointer) ||
                        value.type.is(TypeKind::integer)
                    ? fmt::format("the text at an address: string({})", source_.text(value.span))
                    : ""});
  broken_ = true;
  return false;
}

bool Compiler::want_number(Value& value, std::string_view what) {
  if (value.type.is(TypeKind::error)) return false;
  if (value.type.is(TypeKind::unknown) || value.type.is(TypeKind::integer) ||
      value.type.is(TypeKind::address) || value.type.is(TypeKind::pointer))
    return true;
  tell({.code = Code::wrong_type,
        .span = value.span,
        .message = fmt::format("{} is a number; this is {}", what, describe(value.type.kind))});
  broken_ = true;
  return false;
}

bool Compiler::want_address(Value& value, std::string_view what) {
  if (value.type.is(TypeKind::error)) return false;
  if (value.type.is(TypeKind::unknown) || value.type.is(TypeKind::address) ||
      value.type.is(TypeKind::pointer))
    return true;
  if (value.type.is(TypeKind::integer)) {
    if (value.type.bits == 64) return true;
    tell({.code = Code::wrong_type,
          .span = value.span,
          .message =
              fmt::format("{} is an address; this number has {} bits", what, value.type.bits)});
  } else {
    tell({.code = Code::wrong_type,
          .span = value.span,
          .message = fmt::format("{} is an address; this is {}", what, describe(value.type.kind)),
          .hint = value.type.is(TypeKind::text)
                      ? fmt::format("a symbol stands without quotes, or as &{}",
                                    value.constant ? value.text : "name")
                      : ""});
  }
  broken_ = true;
  return false;
}

Value Compiler::function_call(const Expr& expr, const FunctionInfo& info) {
  const auto args = expr.args.size();
  if (args < info.least || args > info.most) {
    for (const auto arg : expr.args) (void)expression(arg);
    return mistake({.code = Code::argument_count,
                    .span = expr.span,
                    .message = fmt::format(
                        "{} takes {} argument{}, here {} {}", info.name,
                        info.least == info.most ? fmt::format("{}", info.least)
                                                : fmt::format("{} or {}", info.least, info.most),
                        info.most == 1 ? "" : "s", args == 1 ? "is" : "are", args),
                    .expected = std::string(info.written)});
  }
  const auto open_result = [&](const Type& type) {
    auto value = unknown(expr.span);
    (void)type;
    return value;
  };
  const Type number_type = type_of(TypeKind::integer);
  const Type boolean_type = type_of(TypeKind::boolean);
  switch (info.kind) {
    case FunctionKind::read_number: {
      auto address = address_expression(expr.args[0]);
      if (!want_address(address, "what is read")) return error(expr.span);
      Type type{.kind = TypeKind::integer, .bits = info.bits, .is_signed = info.is_signed};
      if (address.type.open()) return open_result(type);
      const auto from = number(address);
      const auto reg = new_number();
      const auto width = static_cast<std::uint8_t>(info.bits / 8U | (info.is_signed ? 0x80U : 0U));
      if (info.physical)
        emit(Opcode::read_physical, reg, from, width);
      else
        emit(Opcode::read, reg, from, width, pool(std::uint64_t{0}));
      return result(type, expr.span, reg);
    }
    case FunctionKind::text: {
      auto address = expression(expr.args[0]);
      if (address.is_place && address.type.is(TypeKind::array))
        address = address_of_place(address);
      else if (address.is_symbol || !address.type.is(TypeKind::error))
        address = rvalue(std::move(address));
      if (address.type.textual()) {
        return mistake({.code = Code::wrong_type,
                        .span = address.span,
                        .message = fmt::format("{} is text already", quote(address.span)),
                        .fix = Fix{expr.span, std::string(source_.text(address.span)),
                                   fmt::format("write {}", source_.text(address.span))}});
      }
      if (!want_address(address, "where the text lies")) return error(expr.span);
      std::uint64_t most = 256;
      if (args == 2) {
        auto limit = rvalue(expr.args[1]);
        if (!want_number(limit, "the most bytes")) return error(expr.span);
        if (!limit.constant && !limit.type.open())
          return mistake(
              {.code = Code::not_constant,
               .span = limit.span,
               .message = "the most bytes of a string must be known before the script runs"});
        most = limit.number;
        if (limit.constant && (most == 0 || most > kMaxTextBytes))
          return mistake({.code = Code::out_of_range,
                          .span = limit.span,
                          .message = fmt::format("a string has 1 to {} bytes", kMaxTextBytes)});
      }
      if (address.type.open()) return open_result(type_of(TypeKind::text));
      const auto from = number(address);
      const auto reg = new_text();
      emit(Opcode::read_text, reg, from, 0, pool(most));
      auto value = result(type_of(TypeKind::text), expr.span, reg);
      value.longest = static_cast<std::uint16_t>(most);
      return value;
    }
    case FunctionKind::bytes: {
      auto address = address_expression(expr.args[0]);
      auto count = rvalue(expr.args[1]);
      if (!want_address(address, "where the bytes lie") || !want_number(count, "how many bytes"))
        return error(expr.span);
      if (count.constant && (count.number == 0 || count.number > kMaxTextBytes)) {
        return mistake(
            {.code = Code::out_of_range,
             .span = count.span,
             .message = fmt::format("1 to {} bytes can be read at once", kMaxTextBytes)});
      }
      if (address.type.open() || count.type.open()) return open_result(type_of(TypeKind::bytes));
      const auto from = number(address);
      const auto length = number(count);
      const auto reg = new_text();
      emit(Opcode::read_bytes, reg, from, length);
      return result(type_of(TypeKind::bytes), expr.span, reg);
    }
    case FunctionKind::symbol: {
      auto address = address_expression(expr.args[0]);
      if (!want_address(address, "what is named")) return error(expr.span);
      if (address.type.open()) return open_result(type_of(TypeKind::text));
      const auto from = number(address);
      const auto reg = new_text();
      emit(Opcode::symbol, reg, from);
      return result(type_of(TypeKind::text), expr.span, reg);
    }
    case FunctionKind::per_cpu: {
      auto variable = address_expression(expr.args[0]);
      if (!want_address(variable, "a per-CPU variable")) return error(expr.span);
      Value which;
      if (args == 2) {
        which = rvalue(expr.args[1]);
        if (!want_number(which, "the CPU")) return error(expr.span);
      } else {
        which = moment(*find_moment("", "cpu"), expr.span);
        if (which.type.is(TypeKind::error)) return which;
      }
      Type type = type_of(TypeKind::pointer);
      if (variable.is_symbol && options_.ports.types != nullptr) {
        if (const auto guest = options_.ports.types->variable(variable.text)) {
          type.has_guest = true;
          type.guest = *guest;
        }
      }
      if (variable.type.is(TypeKind::pointer) && variable.type.has_guest) type = variable.type;
      if (!type.has_guest && options_.ports.types != nullptr) type = type_of(TypeKind::address);
      if (variable.type.open() || which.type.open()) return open_result(type);
      const auto from = number(variable);
      const auto cpu = number(which);
      const auto reg = new_number();
      emit(Opcode::per_cpu, reg, from, cpu);
      return result(type, expr.span, reg);
    }
    case FunctionKind::listed: {
      auto pid = rvalue(expr.args[0]);
      if (!want_number(pid, "a pid")) return error(expr.span);
      if (pid.type.open()) return open_result(boolean_type);
      const auto from = number(pid);
      const auto reg = new_number();
      emit(Opcode::listed, reg, from);
      return result(boolean_type, expr.span, reg);
    }
    case FunctionKind::missing: {
      auto value = rvalue(expr.args[0]);
      if (value.type.open())
        return value.type.is(TypeKind::error) ? value : open_result(boolean_type);
      if (value.constant) return boolean(false, expr.span);
      const bool textual = value.type.textual();
      const auto from = textual ? text(value) : number(value);
      const auto reg = new_number();
      emit(textual ? Opcode::missing_text : Opcode::missing, reg, from);
      return result(boolean_type, expr.span, reg);
    }
    case FunctionKind::length: {
      const Expr& arg = script_.at(expr.args[0]);
      if (arg.kind == Expr::Kind::map && !arg.has_keys) {
        auto& map = map_state(arg.text);
        if (!(map.keys_known && map.keys.empty())) {
          if (!map.read) map.first_read = arg.span;
          map.read = true;
          const auto reg = new_number();
          emit(Opcode::map_length, reg, static_cast<std::uint8_t>(map.id));
          return result(number_type, expr.span, reg);
        }
      }
      auto value = rvalue(expr.args[0]);
      if (!want_text(value, "what len measures")) return error(expr.span);
      if (value.type.open()) return open_result(number_type);
      if (value.constant) return number_constant(value.text.size(), number_type, expr.span);
      const auto from = text(value);
      const auto reg = new_number();
      emit(Opcode::length, reg, from);
      return result(number_type, expr.span, reg);
    }
    case FunctionKind::matches:
    case FunctionKind::contains:
    case FunctionKind::starts_with:
    case FunctionKind::ends_with: {
      auto whole = rvalue(expr.args[0]);
      auto part = rvalue(expr.args[1]);
      const bool good = want_text(whole, "the text", info.kind == FunctionKind::contains) &
                        want_text(part, "what is looked for");
      if (!good) return error(expr.span);
      if (whole.type.open() || part.type.open()) return open_result(boolean_type);
      if (info.kind == FunctionKind::matches && part.constant &&
          part.text.find_first_of("*?") == std::string::npos) {
        tell({.code = Code::always_false,
              .span = part.span,
              .message = "a pattern without * and ? matches only itself",
              .hint = fmt::format("{} == {}", source_.text(whole.span), source_.text(part.span))});
      }
      if (part.constant && info.kind != FunctionKind::matches && part.text.size() > whole.longest) {
        tell({.code = Code::always_false,
              .span = expr.span,
              .message = fmt::format("this is always false: {} has at most {} bytes",
                                     quote(whole.span), whole.longest)});
      }
      const auto a = text(whole);
      const auto b = text(part);
      const auto reg = new_number();
      emit(info.kind == FunctionKind::matches       ? Opcode::matches
           : info.kind == FunctionKind::contains    ? Opcode::contains
           : info.kind == FunctionKind::starts_with ? Opcode::starts_with
                                                    : Opcode::ends_with,
           reg, a, b);
      return result(boolean_type, expr.span, reg);
    }
    case FunctionKind::hex:
    case FunctionKind::lower:
    case FunctionKind::basename: {
      auto value = rvalue(expr.args[0]);
      if (info.kind == FunctionKind::hex &&
          (value.type.is(TypeKind::integer) || value.type.is(TypeKind::address))) {
        return mistake({.code = Code::wrong_type,
                        .span = value.span,
                        .message = "hex is of bytes; a number is printed by %x"});
      }
      if (!want_text(value, "the argument")) return error(expr.span);
      if (value.type.open()) return open_result(type_of(TypeKind::text));
      const auto from = text(value);
      const auto reg = new_text();
      emit(info.kind == FunctionKind::hex     ? Opcode::hex
           : info.kind == FunctionKind::lower ? Opcode::lower
                                              : Opcode::basename,
           reg, from);
      return result(type_of(TypeKind::text), expr.span, reg);
    }
    case FunctionKind::absolute: {
      auto value = rvalue(expr.args[0]);
      if (value.type.is(TypeKind::error)) return value;
      if (value.type.open()) return open_result(number_type);
      if (!value.type.is(TypeKind::integer) && !value.type.is(TypeKind::duration)) {
        return mistake(
            {.code = Code::wrong_type,
             .span = value.span,
             .message = fmt::format("abs takes a number; this is {}", describe(value.type.kind))});
      }
      value.span = expr.span;
      if (!value.type.is_signed) return value;  // an unsigned number has no sign to lose
      value.type.bits = 64;                     // -128 has eight bits, 128 has more
      if (value.constant) {
        if (value.number == 1ULL << 63) {
          return mistake({.code = Code::number_too_large,
                          .span = expr.span,
                          .message = "the result does not fit 64 bits"});
        }
        if (static_cast<std::int64_t>(value.number) < 0) value.number = 0 - value.number;
        return value;
      }
      const auto from = number(value);
      const auto reg = new_number();
      emit(Opcode::absolute, reg, from);
      return result(value.type, expr.span, reg);
    }
    case FunctionKind::aggregate:
    case FunctionKind::map_statement:
      break;
  }
  return error(expr.span);
}

Value Compiler::inlined(const Expr& expr, const Item& function) {
  used_.insert(function.name_span.begin);
  if (full_) return error(expr.span);
  std::vector<Value> args;
  bool good = true;
  if (expr.args.size() != function.parameters.size()) {
    for (const auto arg : expr.args) (void)expression(arg);
    return mistake({.code = Code::argument_count,
                    .span = expr.span,
                    .message = fmt::format("{} takes {} argument{}, here {} {}", function.name,
                                           function.parameters.size(),
                                           function.parameters.size() == 1 ? "" : "s",
                                           expr.args.size() == 1 ? "is" : "are", expr.args.size()),
                    .notes = {{function.name_span, "declared here"}}});
  }
  for (const auto& other : inlined_) {
    if (other.function == &function) {
      for (const auto arg : expr.args) (void)expression(arg);
      return mistake({.code = Code::recursion,
                      .span = expr.span,
                      .message = fmt::format(
                          "{} calls itself{}", function.name,
                          inlined_.back().function == &function ? "" : ", through others")});
    }
  }
  if (inlined_.size() >= kMaxInlineDepth) {
    return mistake(
        {.code = Code::too_large,
         .span = expr.span,
         .message = fmt::format("functions call each other more than {} deep", kMaxInlineDepth)});
  }
  const auto number_reg = new_number();
  const auto text_reg = new_text();
  Value outcome{.type = type_of(TypeKind::nothing), .span = expr.span, .use = 1};
  {
    Scope scope(*this);
    for (const auto arg : expr.args) {
      auto value = rvalue(arg);
      good = good && !value.type.is(TypeKind::error);
      if (!value.type.open()) {
        // Its own register: the body may assign to it.
        const bool textual = value.type.textual();
        const auto from = textual ? text(value) : number(value);
        const auto reg = textual ? new_text() : new_number();
        emit(textual ? Opcode::move_text : Opcode::move, reg, from);
        const auto type = value.type;
        const auto longest = value.longest;
        value = result(type, value.span, reg);
        value.longest = longest;
      }
      args.push_back(std::move(value));
    }
    const auto floor = std::exchange(floor_, locals_.size());
    auto loops = std::exchange(loops_, {});
    const bool left = std::exchange(left_, false);
    inlined_.push_back({&function, false, {}, {}});
    inlined_.back().value.reg = number_reg;
    inlined_.back().value.slot = text_reg;
    for (std::size_t i = 0; i < args.size(); ++i) {
      declare_local({function.parameters[i].name, function.parameters[i].span, args[i],
                     args[i].type.textual()},
                    Code::unused_parameter);
    }
    if (function.value != ExprId::none) {
      auto value = rvalue(function.value);
      inlined_.back().has_value = true;
      inlined_.back().value.type = value.type;
      if (!value.type.open()) {
        if (value.type.textual())
          emit(Opcode::move_text, text_reg, text(value));
        else
          emit(Opcode::move, number_reg, number(value));
      }
    } else {
      emit(Opcode::lose, number_reg);
      emit(Opcode::lose_text, text_reg);
      block(function.body);
    }
    auto done = std::move(inlined_.back());
    inlined_.pop_back();
    for (const auto jump : done.returns) patch(jump);
    left_ = left;
    loops_ = std::move(loops);
    floor_ = floor;
    if (done.has_value) {
      if (done.value.type.is(TypeKind::error))
        outcome = error(expr.span);
      else if (done.value.type.open())
        outcome = unknown(expr.span);
      else
        outcome =
            result(done.value.type, expr.span, done.value.type.textual() ? text_reg : number_reg);
    }
  }
  return good ? outcome : error(expr.span);
}

}  // namespace vitrine::vmipl
