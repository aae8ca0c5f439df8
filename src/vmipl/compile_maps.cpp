// Maps: one shape of keys, one type of value, found out from their uses.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/operands.h"

namespace vitrine::vmipl {

bool Compiler::same_family(const Type& a, const Type& b) const {
  if (a.open() || b.open()) return true;
  const auto family = [](const Type& type) {
    switch (type.kind) {
      case TypeKind::pointer:
        return TypeKind::address;
      case TypeKind::bytes:
        return TypeKind::text;
      default:
        return type.kind;
    }
  };
  return family(a) == family(b);
}

std::string Compiler::described(const Type& type) const {
  if (type.is(TypeKind::pointer) && type.has_guest && options_.ports.types != nullptr) {
    const auto shape = options_.ports.types->shape(type.guest);
    if (!shape.name.empty()) return fmt::format("a pointer to {}", shape.name);
  }
  return std::string(describe(type.kind));
}

bool Compiler::fits(const Type& a, const Type& b) const {
  if (!same_family(a, b)) return false;
  if (!a.is(TypeKind::pointer) || !b.is(TypeKind::pointer) || !a.has_guest || !b.has_guest ||
      options_.ports.types == nullptr)
    return true;
  const auto one = options_.ports.types->shape(a.guest),
             other = options_.ports.types->shape(b.guest);
  return one.kind != GuestKind::structure || other.kind != GuestKind::structure ||
         one.name == other.name;
}

/// Signed numbers among a map's values make all of them signed; so does what is taken away.
void Compiler::widen(MapState& map, const Value& value, Op op) {
  if (!map.value.is(TypeKind::integer) || !value.type.is(TypeKind::integer) || map.value.is_signed)
    return;
  const bool negative = op == Op::sub || (value.type.is_signed && !flexible(value));
  if (!negative) return;
  map.value.is_signed = widened_ = true;
}

Compiler::MapState& Compiler::map_state(const std::string& name) {
  const auto [at, fresh] = maps_.try_emplace(name);
  if (fresh) {
    at->second.name = name;
    at->second.id = static_cast<std::uint32_t>(maps_.size() - 1);
  }
  return at->second;
}

std::optional<std::vector<Operand>> Compiler::map_keys(MapState& map, const Expr& expr,
                                                       std::vector<Value>& keep) {
  bool good = true;
  for (const auto arg : expr.args) {
    auto key = rvalue(arg);
    if (key.type.is(TypeKind::error)) good = false;
    keep.push_back(std::move(key));
  }
  if (!good) return std::nullopt;
  if (expr.has_keys && keep.empty()) {
    tell({.code = Code::map_keys,
          .span = expr.span,
          .message = "there is no key between the brackets",
          .hint = fmt::format("a map without keys is @{}", map.name)});
    broken_ = true;
    return std::nullopt;
  }
  if (keep.size() > kMaxKeys) {
    tell({.code = Code::too_many,
          .span = expr.span,
          .message = fmt::format("a map has at most {} keys; here are {}", kMaxKeys, keep.size())});
    broken_ = true;
    return std::nullopt;
  }
  if (!map.keys_known) {
    map.keys_known = true;
    map.first_keys = expr.span;
    for (const auto& key : keep) map.keys.push_back(key.type);
  } else {
    if (map.keys.size() != keep.size()) {
      const auto shape = [](std::size_t keys) {
        return keys == 0   ? std::string("no key")
               : keys == 1 ? std::string("1 key")
                           : fmt::format("{} keys", keys);
      };
      tell({.code = Code::map_keys,
            .span = expr.span,
            .message = fmt::format("@{} has {} here and {} elsewhere", map.name, shape(keep.size()),
                                   shape(map.keys.size())),
            .notes = {{map.first_keys, fmt::format("here it has {}", shape(map.keys.size()))}}});
      broken_ = true;
      return std::nullopt;
    }
    for (std::size_t i = 0; i < keep.size(); ++i) {
      if (map.keys[i].is(TypeKind::unknown)) map.keys[i] = keep[i].type;
      if (same_family(map.keys[i], keep[i].type)) {
        if (map.keys[i].is(TypeKind::integer) && keep[i].type.is(TypeKind::integer) &&
            !keep[i].constant)
          map.keys[i].is_signed = map.keys[i].is_signed || keep[i].type.is_signed;
        continue;
      }
      tell({.code = Code::map_keys,
            .span = keep[i].span,
            .message = fmt::format("key {} of @{} is {} here and {} elsewhere", i + 1, map.name,
                                   describe(keep[i].type.kind), describe(map.keys[i].kind)),
            .notes = {{map.first_keys, "first used here"}}});
      broken_ = true;
      return std::nullopt;
    }
  }
  std::vector<Operand> operands;
  for (auto& key : keep) {
    if (key.type.open()) return std::nullopt;
    operands.push_back(in_operand(key));
  }
  return operands;
}

Value Compiler::map_read(const Expr& expr) {
  auto& map = map_state(expr.text);
  if (!map.read) map.first_read = expr.span;
  map.read = true;
  std::vector<Value> keys;
  const auto operands = map_keys(map, expr, keys);
  for (const auto& key : keys) {
    if (key.type.is(TypeKind::error)) return error(expr.span);
  }
  if (map.aggregate == Aggregate::histogram || map.aggregate == Aggregate::linear ||
      map.aggregate == Aggregate::stats) {
    return mistake({.code = Code::aggregation_misuse,
                    .span = expr.span,
                    .message = fmt::format("@{} holds {}(): that is more than one value", expr.text,
                                           vmipl::name(map.aggregate)),
                    .hint = fmt::format("print(@{}) prints it", expr.text)});
  }
  if (!map.value_known) return unknown(expr.span);
  Type type = map.value;
  type.bits = 64;
  if (map.aggregate == Aggregate::count) type = Type{.kind = TypeKind::integer, .is_signed = false};
  if (type.open() || !operands) return broken_ && !operands ? error(expr.span) : unknown(expr.span);
  const auto list = operand_list(*operands);
  const auto reg = type.textual() ? new_text() : new_number();
  emit(type.textual() ? Opcode::map_get_text : Opcode::map_get, reg,
       static_cast<std::uint8_t>(map.id), static_cast<std::uint8_t>(operands->size()), list);
  return result(type, expr.span, reg);
}

Value Compiler::aggregation(const Expr& expr, const FunctionInfo& info) {
  static constexpr std::string_view kNames[] = {"",    "count", "sum",       "min",   "max",
                                                "avg", "stats", "histogram", "linear"};
  Value value{.type = type_of(TypeKind::aggregation), .span = expr.span};
  for (std::size_t i = 1; i < std::size(kNames); ++i) {
    if (kNames[i] == info.name) value.aggregate = static_cast<Aggregate>(i);
  }
  if (expr.args.size() < info.least || expr.args.size() > info.most) {
    for (const auto arg : expr.args) (void)expression(arg);
    return mistake({.code = Code::argument_count,
                    .span = expr.span,
                    .message = fmt::format("{} takes {} argument{}, here {} {}", info.name,
                                           info.least, info.least == 1 ? "" : "s",
                                           expr.args.size() == 1 ? "is" : "are", expr.args.size()),
                    .expected = std::string(info.written)});
  }
  value.use = static_cast<std::uint32_t>(TypeKind::integer);
  if (expr.args.empty()) return value;
  auto argument = rvalue(expr.args[0]);
  if (argument.type.is(TypeKind::error)) return error(expr.span);
  if (!argument.type.open() && !argument.type.is(TypeKind::integer) &&
      !argument.type.is(TypeKind::duration) && !argument.type.is(TypeKind::boolean)) {
    return mistake({.code = Code::wrong_type,
                    .span = argument.span,
                    .message = fmt::format("{} is of numbers and durations; this is {}", info.name,
                                           describe(argument.type.kind)),
                    .hint = argument.type.textual()
                                ? "to count texts make them keys: @x[text] = count()"
                                : ""});
  }
  if (value.aggregate == Aggregate::linear) {
    std::int64_t bounds[3] = {0, 0, 1};
    for (std::size_t i = 0; i < 3; ++i) {
      auto bound = rvalue(expr.args[i + 1]);
      if (bound.type.is(TypeKind::error)) return error(expr.span);
      if (!bound.constant)
        return mistake(
            {.code = Code::not_constant,
             .span = bound.span,
             .message = "low, high and step of linear must be known before the script runs"});
      if (!same_family(bound.type, argument.type)) {
        return mistake(
            {.code = Code::type_mismatch,
             .span = bound.span,
             .message = fmt::format("the steps are of {}, like what is counted; this is {}",
                                    describe(argument.type.kind), describe(bound.type.kind))});
      }
      bounds[i] = static_cast<std::int64_t>(bound.number);
    }
    std::int64_t range = 0;
    if (bounds[2] <= 0 || bounds[1] <= bounds[0] ||
        __builtin_sub_overflow(bounds[1], bounds[0], &range) || range / bounds[2] > 1000) {
      return mistake(
          {.code = Code::out_of_range,
           .span = expr.span,
           .message = "low is less than high, and there are at most 1000 steps between them",
           .expected = std::string(info.written)});
    }
    value.low = bounds[0];
    value.high = bounds[1];
    value.step = bounds[2];
  }
  value.use =
      static_cast<std::uint32_t>(argument.type.open() ? TypeKind::integer : argument.type.kind);
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
    return mistake({.code = Code::argument_count,
                    .span = expr.span,
                    .message = fmt::format("{} takes {} argument{}, here {} {}", info.name,
                                           info.least, info.least == 1 ? "" : "s",
                                           expr.args.size() == 1 ? "is" : "are", expr.args.size()),
                    .expected = std::string(info.written)});
  }
  const Expr& target = script_.at(expr.args[0]);
  if (target.kind != Expr::Kind::map) {
    if (target.kind == Expr::Kind::bad) return error(expr.span);
    const bool text = info.name == "print" && target.kind == Expr::Kind::string;
    return mistake(
        {.code = Code::wrong_argument,
         .span = text ? expr.name_span : target.span,
         .message = text ? "print is about a map; text is printed by Print"
                         : fmt::format("{} is about a map", info.name),
         .expected = text ? "" : std::string(info.written),
         .hint = info.name == "print" && !text ? "text is printed by Print(format, values...)" : "",
         .fix = text ? std::optional(Fix{expr.name_span, "Print", "write Print"}) : std::nullopt});
  }
  auto& map = map_state(target.text);
  if (!map.read) map.first_read = target.span;
  map.read = true;
  if (info.name == "delete") {
    std::vector<Value> keys;
    const auto operands = map_keys(map, target, keys);
    if (!operands) return broken_ ? error(expr.span) : nothing;
    if (operands->empty())
      emit(Opcode::map_clear, 0, static_cast<std::uint8_t>(map.id));
    else
      emit(Opcode::map_delete, 0, static_cast<std::uint8_t>(map.id),
           static_cast<std::uint8_t>(operands->size()), operand_list(*operands));
    return nothing;
  }
  if (target.has_keys) {
    return mistake(
        {.code = Code::map_keys,
         .span = target.span,
         .message = fmt::format("{} is about a whole map", info.name),
         .expected = std::string(info.written),
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
    if (!top.constant)
      return mistake({.code = Code::not_constant,
                      .span = top.span,
                      .message = "how many entries must be known before the script runs"});
    if (top.number == 0 || top.number > INT64_MAX)
      return mistake({.code = Code::out_of_range,
                      .span = top.span,
                      .message = "no entry at all would be printed"});
    site.numbers.push_back(top.number);
  }
  program_.sites.push_back(std::move(site));
  emit(Opcode::emit, 0, 0, 0, static_cast<std::int32_t>(program_.sites.size() - 1));
  return nothing;
}

}  // namespace vitrine::vmipl
