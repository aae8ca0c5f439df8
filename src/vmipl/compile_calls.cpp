// Calls: the language's functions, the script's own (expanded in place), actions and data probes.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/compiler.h"
#include "vmipl/habits.h"

namespace vitrine::vmipl {
namespace {

constexpr unsigned kMaxInlineDepth = 16;

std::uint8_t probe_index(const ProbeInfo& probe) {
  const auto all = probes();
  if (&probe >= all.data() && &probe < all.data() + all.size()) return static_cast<std::uint8_t>(&probe - all.data());
  return static_cast<std::uint8_t>(find_probe(probe.name) - all.data());  // Stop, the action
}

}  // namespace

Value Compiler::call(const Expr& expr) {
  if (const auto own = functions_.find(expr.text); own != functions_.end()) return inlined(expr, *own->second);
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
  Diagnostic diagnostic{.code = Code::unknown_function, .span = expr.name_span, .message = fmt::format("there is no function called {}", expr.text)};
  if (const auto ours = function_habit(expr.text); !ours.empty()) {
    diagnostic.label = fmt::format("here it is called {}", ours);
    diagnostic.fix = Fix{expr.name_span, std::string(ours), fmt::format("write {}", ours)};
  }
  if (!diagnostic.fix) suggest(diagnostic, nearest, expr.name_span);
  for (const auto arg : expr.args) (void)expression(arg);
  return mistake(std::move(diagnostic));
}

bool Compiler::want_text(Value& value, std::string_view what) {
  if (value.type.is(TypeKind::error)) return false;
  if (value.type.is(TypeKind::unknown) || value.type.textual()) return true;
  tell({.code = Code::wrong_type, .span = value.span, .message = fmt::format("{} is text; this is {}", what, describe(value.type.kind)),
        .hint = value.type.is(TypeKind::address) || value.type.is(TypeKind::pointer) || value.type.is(TypeKind::integer) ? fmt::format("the text at an address: string({})", source_.text(value.span)) : ""});
  broken_ = true;
  return false;
}

bool Compiler::want_number(Value& value, std::string_view what) {
  if (value.type.is(TypeKind::error)) return false;
  if (value.type.is(TypeKind::unknown) || value.type.is(TypeKind::integer) || value.type.is(TypeKind::address) || value.type.is(TypeKind::pointer)) return true;
  tell({.code = Code::wrong_type, .span = value.span, .message = fmt::format("{} is a number; this is {}", what, describe(value.type.kind))});
  broken_ = true;
  return false;
}

bool Compiler::want_address(Value& value, std::string_view what) {
  if (value.type.is(TypeKind::error)) return false;
  if (value.type.is(TypeKind::unknown) || value.type.is(TypeKind::address) || value.type.is(TypeKind::pointer)) return true;
  if (value.type.is(TypeKind::integer)) {
    if (value.type.bits == 64) return true;
    tell({.code = Code::wrong_type, .span = value.span, .message = fmt::format("{} is an address; this number has {} bits", what, value.type.bits)});
  } else {
    tell({.code = Code::wrong_type, .span = value.span, .message = fmt::format("{} is an address; this is {}", what, describe(value.type.kind)),
          .hint = value.type.is(TypeKind::text) ? fmt::format("a symbol stands without quotes, or as &{}", value.constant ? value.text : "name") : ""});
  }
  broken_ = true;
  return false;
}

Value Compiler::function_call(const Expr& expr, const FunctionInfo& info) {
  const auto args = expr.args.size();
  if (args < info.least || args > info.most) {
    for (const auto arg : expr.args) (void)expression(arg);
    return mistake({.code = Code::argument_count, .span = expr.span,
                    .message = fmt::format("{} takes {} argument{}, here {} {}", info.name, info.least == info.most ? fmt::format("{}", info.least) : fmt::format("{} or {}", info.least, info.most),
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
      if (info.physical) emit(Opcode::read_physical, reg, from, width);
      else emit(Opcode::read, reg, from, width, pool(std::uint64_t{0}));
      return result(type, expr.span, reg);
    }
    case FunctionKind::text: {
      auto address = expression(expr.args[0]);
      if (address.is_place && address.type.is(TypeKind::array)) address = address_of_place(address);
      else if (address.is_symbol || !address.type.is(TypeKind::error)) address = rvalue(std::move(address));
      if (address.type.textual()) {
        return mistake({.code = Code::wrong_type, .span = address.span, .message = fmt::format("{} is text already", quote(address.span)),
                        .fix = Fix{expr.span, std::string(source_.text(address.span)), fmt::format("write {}", source_.text(address.span))}});
      }
      if (!want_address(address, "where the text lies")) return error(expr.span);
      std::uint64_t most = 256;
      if (args == 2) {
        auto limit = rvalue(expr.args[1]);
        if (!want_number(limit, "the most bytes")) return error(expr.span);
        if (!limit.constant && !limit.type.open()) return mistake({.code = Code::not_constant, .span = limit.span, .message = "the most bytes of a string must be known before the script runs"});
        most = limit.number;
        if (limit.constant && (most == 0 || most > kMaxTextBytes)) return mistake({.code = Code::out_of_range, .span = limit.span, .message = fmt::format("a string has 1 to {} bytes", kMaxTextBytes)});
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
      if (!want_address(address, "where the bytes lie") || !want_number(count, "how many bytes")) return error(expr.span);
      if (count.constant && (count.number == 0 || count.number > kMaxTextBytes)) {
        return mistake({.code = Code::out_of_range, .span = count.span, .message = fmt::format("1 to {} bytes can be read at once", kMaxTextBytes)});
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
      if (value.type.open()) return value.type.is(TypeKind::error) ? value : open_result(boolean_type);
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
      const bool good = want_text(whole, "the text") & want_text(part, "what is looked for");
      if (!good) return error(expr.span);
      if (whole.type.open() || part.type.open()) return open_result(boolean_type);
      if (info.kind == FunctionKind::matches && part.constant && part.text.find_first_of("*?") == std::string::npos) {
        tell({.code = Code::always_false, .span = part.span, .message = "a pattern without * and ? matches only itself",
              .hint = fmt::format("{} == {}", source_.text(whole.span), source_.text(part.span))});
      }
      if (part.constant && info.kind != FunctionKind::matches && part.text.size() > whole.longest) {
        tell({.code = Code::always_false, .span = expr.span, .message = fmt::format("this is always false: {} has at most {} bytes", quote(whole.span), whole.longest)});
      }
      const auto a = text(whole);
      const auto b = text(part);
      const auto reg = new_number();
      emit(info.kind == FunctionKind::matches ? Opcode::matches : info.kind == FunctionKind::contains ? Opcode::contains : info.kind == FunctionKind::starts_with ? Opcode::starts_with : Opcode::ends_with, reg, a, b);
      return result(boolean_type, expr.span, reg);
    }
    case FunctionKind::hex:
    case FunctionKind::lower:
    case FunctionKind::basename: {
      auto value = rvalue(expr.args[0]);
      if (info.kind == FunctionKind::hex && (value.type.is(TypeKind::integer) || value.type.is(TypeKind::address))) {
        return mistake({.code = Code::wrong_type, .span = value.span, .message = "hex is of bytes; a number is printed by %x"});
      }
      if (!want_text(value, "the argument")) return error(expr.span);
      if (value.type.open()) return open_result(type_of(TypeKind::text));
      const auto from = text(value);
      const auto reg = new_text();
      emit(info.kind == FunctionKind::hex ? Opcode::hex : info.kind == FunctionKind::lower ? Opcode::lower : Opcode::basename, reg, from);
      return result(type_of(TypeKind::text), expr.span, reg);
    }
    case FunctionKind::absolute: {
      auto value = rvalue(expr.args[0]);
      if (value.type.is(TypeKind::error)) return value;
      if (value.type.open()) return open_result(number_type);
      if (!value.type.is(TypeKind::integer) && !value.type.is(TypeKind::duration)) {
        return mistake({.code = Code::wrong_type, .span = value.span, .message = fmt::format("abs takes a number; this is {}", describe(value.type.kind))});
      }
      if (value.constant) {
        const auto plain = static_cast<std::int64_t>(value.number);
        return number_constant(plain < 0 && value.type.is_signed ? 0 - value.number : value.number, value.type, expr.span);
      }
      const auto from = number(value);
      const auto reg = new_number();
      emit(Opcode::absolute, reg, from);
      return result(value.type, expr.span, reg);
    }
    case FunctionKind::aggregate:
    case FunctionKind::map_statement: break;
  }
  return error(expr.span);
}

Value Compiler::aggregation(const Expr& expr, const FunctionInfo& info) {
  static constexpr std::string_view kNames[] = {"", "count", "sum", "min", "max", "avg", "stats", "histogram", "linear"};
  Value value{.type = type_of(TypeKind::aggregation), .span = expr.span};
  for (std::size_t i = 1; i < std::size(kNames); ++i) {
    if (kNames[i] == info.name) value.aggregate = static_cast<Aggregate>(i);
  }
  if (expr.args.size() < info.least || expr.args.size() > info.most) {
    for (const auto arg : expr.args) (void)expression(arg);
    return mistake({.code = Code::argument_count, .span = expr.span, .message = fmt::format("{} takes {} argument{}, here {} {}", info.name, info.least, info.least == 1 ? "" : "s", expr.args.size() == 1 ? "is" : "are", expr.args.size()),
                    .expected = std::string(info.written)});
  }
  value.use = static_cast<std::uint32_t>(TypeKind::integer);
  if (expr.args.empty()) return value;
  auto argument = rvalue(expr.args[0]);
  if (argument.type.is(TypeKind::error)) return error(expr.span);
  if (!argument.type.open() && !argument.type.is(TypeKind::integer) && !argument.type.is(TypeKind::duration) && !argument.type.is(TypeKind::boolean)) {
    return mistake({.code = Code::wrong_type, .span = argument.span, .message = fmt::format("{} is of numbers and durations; this is {}", info.name, describe(argument.type.kind)),
                    .hint = argument.type.textual() ? "to count texts make them keys: @x[text] = count()" : ""});
  }
  if (value.aggregate == Aggregate::linear) {
    std::int64_t bounds[3] = {0, 0, 1};
    for (std::size_t i = 0; i < 3; ++i) {
      auto bound = rvalue(expr.args[i + 1]);
      if (bound.type.is(TypeKind::error)) return error(expr.span);
      if (!bound.constant) return mistake({.code = Code::not_constant, .span = bound.span, .message = "low, high and step of linear must be known before the script runs"});
      if (!same_family(bound.type, argument.type)) {
        return mistake({.code = Code::type_mismatch, .span = bound.span, .message = fmt::format("the steps are of {}, like what is counted; this is {}", describe(argument.type.kind), describe(bound.type.kind))});
      }
      bounds[i] = static_cast<std::int64_t>(bound.number);
    }
    if (bounds[2] <= 0 || bounds[1] <= bounds[0] || (bounds[1] - bounds[0]) / bounds[2] > 1000) {
      return mistake({.code = Code::out_of_range, .span = expr.span, .message = "low is less than high, and there are at most 1000 steps between them", .expected = std::string(info.written)});
    }
    value.low = bounds[0];
    value.high = bounds[1];
    value.step = bounds[2];
  }
  value.use = static_cast<std::uint32_t>(argument.type.open() ? TypeKind::integer : argument.type.kind);
  value.type.is_signed = argument.type.is_signed;
  if (argument.type.open()) {
    incomplete_ = true;
    return value;
  }
  value.reg = number(argument);
  value.in_register = true;
  return value;
}

Value Compiler::map_statement(const Expr& expr, const FunctionInfo& info) {
  const Value nothing{.type = type_of(TypeKind::nothing), .span = expr.span};
  if (expr.args.size() < info.least || expr.args.size() > info.most) {
    return mistake({.code = Code::argument_count, .span = expr.span, .message = fmt::format("{} takes {} argument{}, here {} {}", info.name, info.least, info.least == 1 ? "" : "s", expr.args.size() == 1 ? "is" : "are", expr.args.size()),
                    .expected = std::string(info.written)});
  }
  const Expr& target = script_.at(expr.args[0]);
  if (target.kind != Expr::Kind::map) {
    if (target.kind == Expr::Kind::bad) return error(expr.span);
    return mistake({.code = Code::wrong_argument, .span = target.span, .message = fmt::format("{} is about a map", info.name),
                    .expected = std::string(info.written), .hint = info.name == "print" ? "text is printed by Print(format, values...)" : ""});
  }
  auto& map = map_state(target.text);
  if (!map.read) map.first_read = target.span;
  map.read = true;
  if (info.name == "delete") {
    std::vector<Value> keys;
    const auto operands = map_keys(map, target, keys);
    if (!operands) return broken_ ? error(expr.span) : nothing;
    if (operands->empty()) emit(Opcode::map_clear, 0, static_cast<std::uint8_t>(map.id));
    else emit(Opcode::map_delete, 0, static_cast<std::uint8_t>(map.id), static_cast<std::uint8_t>(operands->size()), operand_list(*operands));
    return nothing;
  }
  if (target.has_keys) {
    return mistake({.code = Code::map_keys, .span = target.span, .message = fmt::format("{} is about a whole map", info.name), .expected = std::string(info.written),
                    .hint = info.name == "clear" ? fmt::format("delete({})", source_.text(target.span)) : ""});
  }
  if (info.name == "clear") {
    emit(Opcode::map_clear, 0, static_cast<std::uint8_t>(map.id));
    return nothing;
  }
  Site site{.is_map_print = true, .numbers = {map.id}, .line = source_.line_of(expr.span.begin)};
  site.probe = probe_index(*find_probe("Print"));
  if (expr.args.size() == 2) {
    auto top = rvalue(expr.args[1]);
    if (!want_number(top, "how many entries")) return error(expr.span);
    if (!top.constant) return mistake({.code = Code::not_constant, .span = top.span, .message = "how many entries must be known before the script runs"});
    if (top.number == 0) return mistake({.code = Code::out_of_range, .span = top.span, .message = "no entry at all would be printed"});
    site.numbers.push_back(top.number);
  }
  program_.sites.push_back(std::move(site));
  emit(Opcode::emit, 0, 0, 0, static_cast<std::int32_t>(program_.sites.size() - 1));
  return nothing;
}

Value Compiler::inlined(const Expr& expr, const Item& function) {
  used_.insert(function.name_span.begin);
  std::vector<Value> args;
  bool good = true;
  if (expr.args.size() != function.parameters.size()) {
    for (const auto arg : expr.args) (void)expression(arg);
    return mistake({.code = Code::argument_count, .span = expr.span,
                    .message = fmt::format("{} takes {} argument{}, here {} {}", function.name, function.parameters.size(), function.parameters.size() == 1 ? "" : "s", expr.args.size() == 1 ? "is" : "are", expr.args.size()),
                    .notes = {{function.name_span, "declared here"}}});
  }
  for (const auto& other : inlined_) {
    if (other.function == &function) {
      for (const auto arg : expr.args) (void)expression(arg);
      return mistake({.code = Code::recursion, .span = expr.span, .message = fmt::format("{} calls itself{}", function.name, inlined_.back().function == &function ? "" : ", through others")});
    }
  }
  if (inlined_.size() >= kMaxInlineDepth) {
    return mistake({.code = Code::too_large, .span = expr.span, .message = fmt::format("functions call each other more than {} deep", kMaxInlineDepth)});
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
      declare_local({function.parameters[i].name, function.parameters[i].span, args[i], args[i].type.textual()}, Code::unused_parameter);
    }
    if (function.value != ExprId::none) {
      auto value = rvalue(function.value);
      inlined_.back().has_value = true;
      inlined_.back().value.type = value.type;
      if (!value.type.open()) {
        if (value.type.textual()) emit(Opcode::move_text, text_reg, text(value));
        else emit(Opcode::move, number_reg, number(value));
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
      if (done.value.type.is(TypeKind::error)) outcome = error(expr.span);
      else if (done.value.type.open()) outcome = unknown(expr.span);
      else outcome = result(done.value.type, expr.span, done.value.type.textual() ? text_reg : number_reg);
    }
  }
  return good ? outcome : error(expr.span);
}

// ---- actions and data probes

bool Compiler::count_arguments(const ProbeInfo& probe, Span name, const std::vector<ExprId>& args) {
  std::size_t least = 0, most = 0;
  for (const auto& param : probe.params) {
    if (!param.optional) ++least;
    most = param.repeated ? SIZE_MAX : most == SIZE_MAX ? SIZE_MAX : most + 1;
  }
  if (args.size() >= least && args.size() <= most) return true;
  // What is missing is most often the output.
  const bool output_missing = args.size() + 1 == least && !probe.params.empty() && probe.params.back().kind == ParamKind::output &&
                              (args.empty() || script_.at(args.back()).kind != Expr::Kind::output);
  const Span span = args.empty() ? name : name.to(script_.at(args.back()).span);
  if (output_missing) {
    tell({.code = Code::missing_output, .span = span, .message = fmt::format("{} needs an output", probe.name), .expected = signature(probe), .hint = "#name is a channel, /a/path a file"});
  } else {
    const auto count = least == most ? fmt::format("{}", least) : most == SIZE_MAX ? fmt::format("{} or more", least) : fmt::format("{} to {}", least, most);
    tell({.code = Code::argument_count, .span = span,
          .message = fmt::format("{} takes {} argument{}, here {} {}", probe.name, most == 0 ? "no" : count, least == 1 && most == 1 ? "" : "s", args.size() == 1 ? "is" : "are", args.size()),
          .expected = signature(probe)});
  }
  for (const auto arg : args) {
    if (script_.at(arg).kind == Expr::Kind::bad) broken_ = true;
  }
  broken_ = true;
  return false;
}

std::optional<std::uint8_t> Compiler::register_name(ExprId id) {
  const Expr& expr = script_.at(id);
  if (expr.kind == Expr::Kind::bad) {
    broken_ = true;
    return std::nullopt;
  }
  std::string word = expr.kind == Expr::Kind::name ? expr.text : "";
  if (expr.kind == Expr::Kind::field && script_.at(expr.a).kind == Expr::Kind::name && script_.at(expr.a).text == "reg") word = expr.text;
  if (!word.empty()) {
    if (const auto found = find_register(word)) return found;
  }
  Diagnostic diagnostic{.code = Code::unknown_register, .span = expr.span, .message = fmt::format("{} is not a register", quote(expr.span))};
  Nearest nearest(word);
  if (!word.empty()) {
    for (const auto& reg : registers()) {
      nearest.offer(reg.name);
      nearest.offer(reg.classic);
    }
  }
  if (nearest.found()) suggest(diagnostic, nearest, expr.span);
  else diagnostic.expected = "EAX, RAX, CR3, CS, GDTR ...";
  tell(std::move(diagnostic));
  broken_ = true;
  return std::nullopt;
}

std::uint16_t Compiler::output(ExprId id) {
  const Expr& expr = script_.at(id);
  if (expr.kind == Expr::Kind::bad) {
    broken_ = true;
    return Site::kStandard;
  }
  Output output{.channel = expr.value == 1, .name = expr.text};
  if (expr.kind == Expr::Kind::string) output.channel = false;
  if (expr.kind != Expr::Kind::output && expr.kind != Expr::Kind::string) {
    tell({.code = Code::bad_output, .span = expr.span, .message = fmt::format("{} is not an output", quote(expr.span)), .expected = std::string(describe(ParamKind::output))});
    broken_ = true;
    return Site::kStandard;
  }
  if (!output.channel && (output.name.empty() || output.name.find('\0') != std::string::npos || output.name.back() == '/')) {
    tell({.code = Code::bad_output, .span = expr.span, .message = output.name.empty() ? "a path has at least one character" : "this is not the path of a file", .expected = std::string(describe(ParamKind::output))});
    broken_ = true;
    return Site::kStandard;
  }
  const auto at = std::find(program_.outputs.begin(), program_.outputs.end(), output);
  const auto index = static_cast<std::uint16_t>(at - program_.outputs.begin());
  if (at == program_.outputs.end()) {
    if (program_.outputs.size() >= 1000) {
      tell({.code = Code::too_many, .span = expr.span, .message = "a script has at most 1000 outputs"});
      broken_ = true;
      return Site::kStandard;
    }
    program_.outputs.push_back(std::move(output));
  }
  return index;
}

void Compiler::operand(Site& site, Value value) {
  if (value.type.open()) return;
  site.types.push_back(value_type(value.type));
  site.operands.push_back(in_operand(value));
}

Value Compiler::act(const Expr& expr, const ProbeInfo& probe) {
  const Value nothing{.type = type_of(TypeKind::nothing), .span = expr.span};
  if (probe.kind == ProbeKind::filter) {
    for (const auto arg : expr.args) (void)script_.at(arg);
    return mistake({.code = Code::wrong_use, .span = expr.name_span, .message = fmt::format("{} is a filter: it has a block", probe.name), .expected = fmt::format("{} {{ ... }}", signature(probe))});
  }
  if (probe.kind == ProbeKind::event || probe.kind == ProbeKind::stream) {
    return mistake({.code = Code::misplaced, .span = expr.name_span, .message = fmt::format("{} stands at the top of a script", probe.name)});
  }
  needs_ |= probe.needs;
  if (options_.judge_permissions) {
    if ((probe.needs & Needs::writes) != 0 && !options_.allow_writes) {
      tell({.code = Code::needs_writes, .span = expr.name_span, .message = fmt::format("{} changes the guest, and the script may not", probe.name), .hint = "start it with --allow-writes if that is what you want"});
    }
    if ((probe.needs & Needs::control) != 0 && !options_.allow_control) {
      tell({.code = Code::needs_control, .span = expr.name_span, .message = fmt::format("{} changes how the machine runs, and the script may not", probe.name), .hint = "start it with --allow-control if that is what you want"});
    }
  }
  if (probe.name == "Print" || probe.name == "Report") {
    print_or_report(expr, probe);
    return nothing;
  }
  if (!count_arguments(probe, expr.name_span, expr.args)) return error(expr.span);
  Site site{.line = source_.line_of(expr.span.begin)};
  site.probe = probe_index(probe);
  std::set<std::string_view> fields;
  for (std::size_t i = 0; i < expr.args.size(); ++i) {
    const auto id = expr.args[i];
    const Expr& arg = script_.at(id);
    const bool last = i + 1 == expr.args.size();
    const Param* param = &probe.params[std::min(i, probe.params.size() - 1)];
    if (probe.params.front().repeated) param = last ? &probe.params.back() : &probe.params.front();
    switch (param->kind) {
      case ParamKind::output: {
        if (probe.params.front().repeated && arg.kind == Expr::Kind::name) {
          tell({.code = Code::missing_output, .span = expr.span, .message = fmt::format("{} needs an output after its fields", probe.name), .expected = signature(probe)});
          broken_ = true;
          break;
        }
        if (probe.kind == ProbeKind::action) {
          if (arg.kind == Expr::Kind::output && arg.value == 1) {
            tell({.code = Code::bad_output, .span = arg.span, .message = fmt::format("{} writes a file, not a channel", probe.name)});
            broken_ = true;
            break;
          }
        }
        site.output = output(id);
        break;
      }
      case ParamKind::reg: {
        const auto reg = register_name(id);
        if (reg) site.numbers.push_back(*reg);
        if (reg && probe.name == "ReadMemoryAt" && registers()[*reg].kind != RegisterInfo::general && registers()[*reg].kind != RegisterInfo::control) {
          tell({.code = Code::wrong_argument, .span = arg.span, .message = fmt::format("{} holds no single address", arg.text)});
          broken_ = true;
        }
        break;
      }
      case ParamKind::process_field:
      case ParamKind::vmcs_field: {
        const auto names = param->kind == ParamKind::process_field ? process_list_fields() : vmcs_fields();
        const auto at = std::find(names.begin(), names.end(), arg.text);
        if (arg.kind != Expr::Kind::name || at == names.end()) {
          Diagnostic diagnostic{.code = Code::wrong_argument, .span = arg.span, .message = fmt::format("{} is not a field of {}", quote(arg.span), probe.name), .expected = fmt::format("{}", fmt::join(names, ", "))};
          Nearest nearest(arg.text);
          for (const auto name : names) nearest.offer(name);
          if (arg.kind != Expr::Kind::bad) {
            suggest(diagnostic, nearest, arg.span);
            tell(std::move(diagnostic));
          }
          broken_ = true;
          break;
        }
        if (!fields.insert(*at).second) {
          tell({.code = Code::duplicate_name, .span = arg.span, .message = fmt::format("{} is asked for twice", *at)});
          broken_ = true;
        }
        site.numbers.push_back(static_cast<std::uint64_t>(at - names.begin()));
        break;
      }
      case ParamKind::address: {
        auto value = address_expression(id);
        if (want_address(value, "an address")) operand(site, std::move(value));
        break;
      }
      case ParamKind::length: {
        auto value = rvalue(id);
        if (!want_number(value, "a number of bytes")) break;
        if (value.constant && (value.number == 0 || value.number > 65536)) {
          tell({.code = Code::out_of_range, .span = arg.span, .message = "1 to 65536 bytes are read at once"});
          broken_ = true;
        }
        operand(site, std::move(value));
        break;
      }
      case ParamKind::percent:
      case ParamKind::integer: {
        auto value = rvalue(id);
        if (!want_number(value, fmt::format("the {}", param->name))) break;
        if (param->kind == ParamKind::percent && value.constant && value.number > 100) {
          tell({.code = Code::out_of_range, .span = arg.span, .message = "a percentage is 0 to 100"});
          broken_ = true;
        }
        operand(site, std::move(value));
        break;
      }
      case ParamKind::value: {
        auto value = rvalue(id);
        if (value.type.is(TypeKind::integer) && value.literal && probe.name == "WriteMemory") {
          tell({.code = Code::wrong_type, .span = arg.span, .message = "how many bytes are to be written is not known", .hint = fmt::format("(u8){0}, (u16){0}, (u32){0} or (u64){0}", source_.text(arg.span))});
          broken_ = true;
          break;
        }
        site.numbers.push_back(value.type.textual() ? 0 : value.type.is(TypeKind::boolean) ? 1 : value.type.bits / 8U);
        operand(site, std::move(value));
        break;
      }
      default: break;
    }
  }
  program_.sites.push_back(std::move(site));
  emit(Opcode::emit, 0, 0, 0, static_cast<std::int32_t>(program_.sites.size() - 1));
  return nothing;
}

void Compiler::print_or_report(const Expr& expr, const ProbeInfo& probe) {
  Site site{.line = source_.line_of(expr.span.begin)};
  site.probe = probe_index(probe);
  std::size_t at = 0;
  const auto kind = [&](std::size_t i) { return i < expr.args.size() ? script_.at(expr.args[i]).kind : Expr::Kind::bad; };
  if (probe.name == "Print") {
    if (kind(0) == Expr::Kind::output) site.output = output(expr.args[at++]);
  } else {
    const auto is_severity = [&](std::size_t i) {
      if (kind(i) != Expr::Kind::name) return false;
      const auto& word = script_.at(expr.args[i]).text;
      return find_moment("", word) == nullptr && std::none_of(locals_.begin(), locals_.end(), [&](const Local& local) { return local.name == word; }) && !constants_.contains(word);
    };
    if (kind(0) == Expr::Kind::string && is_severity(1)) {
      const Expr& word = script_.at(expr.args[1]);
      const auto found = std::find(severities().begin(), severities().end(), word.text);
      if (found == severities().end()) {
        Diagnostic diagnostic{.code = Code::wrong_argument, .span = word.span, .message = fmt::format("{} is not a severity", word.text), .expected = "info, low, medium, high or critical"};
        Nearest nearest(word.text);
        for (const auto severity : severities()) nearest.offer(severity);
        suggest(diagnostic, nearest, word.span);
        tell(std::move(diagnostic));
        broken_ = true;
      }
      site.symptom = script_.at(expr.args[0]).text;
      site.numbers = {static_cast<std::uint64_t>(found - severities().begin())};
      at = 2;
    } else if (symptom_ != nullptr) {
      site.symptom = symptom_->name;
      site.numbers = {symptom_severity_};
    } else {
      tell({.code = Code::argument_count, .span = expr.span, .message = "outside of a Symptom, Report says which symptom it is and how severe", .expected = "Report(\"name\", high, \"format\", values...)"});
      broken_ = true;
      return;
    }
  }
  if (at >= expr.args.size()) {
    tell({.code = Code::argument_count, .span = expr.span, .message = fmt::format("{} needs a format string", probe.name), .expected = signature(probe)});
    broken_ = true;
    return;
  }
  format(site, expr.args[at], expr.args, at + 1);
  program_.sites.push_back(std::move(site));
  emit(Opcode::emit, 0, 0, 0, static_cast<std::int32_t>(program_.sites.size() - 1));
}

void Compiler::format(Site& site, ExprId id, const std::vector<ExprId>& args, std::size_t first) {
  const auto format = expression(id);
  std::vector<Value> values;
  for (std::size_t i = first; i < args.size(); ++i) {
    auto value = expression(args[i]);
    value = rvalue(std::move(value));
    values.push_back(std::move(value));
  }
  if (format.type.is(TypeKind::error)) return;
  if (!format.type.is(TypeKind::text) || !format.constant) {
    const Expr& written = script_.at(id);
    Diagnostic diagnostic{.code = Code::not_constant, .span = format.span, .message = "the format is a string that stands in the script", .fix = {}};
    if (format.type.textual() && values.empty()) diagnostic.fix = Fix{written.span, fmt::format("\"%s\\n\", {}", source_.text(written.span)), fmt::format("write Print(\"%s\\n\", {})", source_.text(written.span))};
    else diagnostic.expected = "Print(\"format\", values...)";
    if (written.kind == Expr::Kind::map) diagnostic.hint = fmt::format("a whole map is printed by print({})", source_.text(written.span));
    tell(std::move(diagnostic));
    broken_ = true;
    return;
  }
  site.format = format.text;
  const Span string = script_.at(id).kind == Expr::Kind::string ? script_.at(id).span : format.span;
  // Where a directive stands in the script: exact while the string has no escapes before it.
  const auto raw = source_.text(string);
  std::size_t raw_at = 0;
  const auto locate = [&](std::string_view directive) {
    const auto found = raw.find(directive, raw_at);
    if (found == std::string_view::npos) return string;
    raw_at = found + directive.size();
    const auto begin = string.begin + static_cast<std::uint32_t>(found);
    return Span{begin, begin + static_cast<std::uint32_t>(directive.size())};
  };
  std::size_t next = 0;
  const auto& text = format.text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    const auto begin = i++;
    bool longs = false;
    while (i < text.size() && std::string_view("-+ #0").find(text[i]) != std::string_view::npos) ++i;
    std::size_t width = 0;
    const auto digits = [&] {
      while (i < text.size() && text[i] >= '0' && text[i] <= '9') width = std::min<std::size_t>(width * 10 + static_cast<std::size_t>(text[i++] - '0'), 100000);
    };
    digits();
    if (i < text.size() && text[i] == '.') {
      ++i;
      width = std::max<std::size_t>(width, 0);
      digits();
    }
    const auto lengths = i;
    while (i < text.size() && std::string_view("lhjz").find(text[i]) != std::string_view::npos) {
      ++i;
      longs = true;
    }
    const char directive = i < text.size() ? text[i] : '\0';
    const bool letter = (directive >= 'a' && directive <= 'z') || (directive >= 'A' && directive <= 'Z') || directive == '%';
    const auto whole = std::string_view(text).substr(begin, std::min(letter ? i + 1 : i, text.size()) - begin);
    const Span span = locate(whole);
    if (directive == '%' && whole.size() == 2) continue;
    if (std::string_view("duxXobpsct").find(directive) == std::string_view::npos || directive == '\0' || width > 1000) {
      tell({.code = Code::format_unknown, .span = span, .message = width > 1000 ? "a field is at most 1000 wide" : whole.size() == 1 ? "this % begins a directive that is not there" : fmt::format("there is no directive {}", whole),
            .expected = "%d %u %x %X %o %b %p %s %c %t %%", .hint = directive == 'i' ? "%d prints a decimal number" : directive == 'f' ? "there are no fractions" : "a percent sign is %%"});
      broken_ = true;
      ++next;
      continue;
    }
    if (longs) {
      auto plain = std::string(whole.substr(0, lengths - begin)) + directive;
      tell({.code = Code::format_unknown, .span = span, .message = fmt::format("{}: numbers have no length here", whole), .fix = Fix{span, plain, fmt::format("write {}", plain)}});
      broken_ = true;
      ++next;
      continue;
    }
    if (next >= values.size()) {
      std::size_t total = 0;
      for (std::size_t j = 0; j + 1 < text.size(); ++j) {
        if (text[j] == '%') total += text[++j] != '%';
      }
      tell({.code = Code::format_count, .span = span, .message = fmt::format("{} has no argument: the format takes {}, here {} {}", whole, total, values.size() == 1 ? "is" : "are", values.size())});
      broken_ = true;
      return;
    }
    const auto& value = values[next++];
    if (value.type.open()) continue;
    const auto k = value.type.kind;
    const bool word = k == TypeKind::integer || k == TypeKind::address || k == TypeKind::pointer;
    bool fits = true;
    switch (directive) {
      case 'd': case 'u': fits = k == TypeKind::integer || k == TypeKind::boolean || k == TypeKind::duration || k == TypeKind::time; break;
      case 'x': case 'X': fits = word || k == TypeKind::bytes; break;
      case 'o': case 'b': case 'c': fits = k == TypeKind::integer; break;
      case 'p': fits = word; break;
      case 't': fits = k == TypeKind::time; break;
      default: break;
    }
    if (!fits) {
      Diagnostic diagnostic{.code = Code::format_type, .span = value.span, .message = fmt::format("{} prints {}; this is {}", whole, directive == 't' ? "a time" : "a number", describe(k)),
                            .notes = {{span, "by this directive"}}};
      const std::string better = std::string(whole.substr(0, whole.size() - 1)) + (word ? (directive == 'd' || directive == 'u' ? "x" : "d") : "s");
      if (directive == 't') diagnostic.hint = "a duration is printed by %s";
      else if (span.size() == whole.size()) diagnostic.fix = Fix{span, better, fmt::format("write {}", better)};
      tell(std::move(diagnostic));
      broken_ = true;
    }
  }
  if (next < values.size()) {
    tell({.code = Code::format_count, .span = values[next].span, .message = fmt::format("the format takes {} argument{}, here are {}", next, next == 1 ? "" : "s", values.size()),
          .label = "nothing prints this", .notes = {{string, "the format"}}});
    broken_ = true;
    return;
  }
  for (auto& value : values) operand(site, std::move(value));
}

}  // namespace vitrine::vmipl
