// Maps: one shape of keys, one type of value, found out from their uses.
#include <fmt/format.h>

#include <algorithm>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

bool Compiler::same_family(const Type& a, const Type& b) const {
  if (a.open() || b.open()) return true;
  const auto family = [](const Type& type) {
    switch (type.kind) {
      case TypeKind::pointer: return TypeKind::address;
      case TypeKind::bytes: return TypeKind::text;
      default: return type.kind;
    }
  };
  return family(a) == family(b);
}

Compiler::MapState& Compiler::map_state(const std::string& name) {
  const auto [at, fresh] = maps_.try_emplace(name);
  if (fresh) {
    at->second.name = name;
    at->second.id = static_cast<std::uint32_t>(maps_.size() - 1);
  }
  return at->second;
}

std::optional<std::vector<Operand>> Compiler::map_keys(MapState& map, const Expr& expr, std::vector<Value>& keep) {
  bool good = true;
  for (const auto arg : expr.args) {
    auto key = rvalue(arg);
    if (key.type.is(TypeKind::error)) good = false;
    keep.push_back(std::move(key));
  }
  if (!good) return std::nullopt;
  if (expr.has_keys && keep.empty()) {
    tell({.code = Code::map_keys, .span = expr.span, .message = "there is no key between the brackets", .hint = fmt::format("a map without keys is @{}", map.name)});
    broken_ = true;
    return std::nullopt;
  }
  if (keep.size() > kMaxKeys) {
    tell({.code = Code::too_many, .span = expr.span, .message = fmt::format("a map has at most {} keys; here are {}", kMaxKeys, keep.size())});
    broken_ = true;
    return std::nullopt;
  }
  if (!map.keys_known) {
    map.keys_known = true;
    map.first_keys = expr.span;
    for (const auto& key : keep) map.keys.push_back(key.type);
  } else {
    if (map.keys.size() != keep.size()) {
      const auto shape = [](std::size_t keys) { return keys == 0 ? std::string("no key") : keys == 1 ? std::string("1 key") : fmt::format("{} keys", keys); };
      tell({.code = Code::map_keys, .span = expr.span, .message = fmt::format("@{} has {} here and {} elsewhere", map.name, shape(keep.size()), shape(map.keys.size())),
            .notes = {{map.first_keys, fmt::format("here it has {}", shape(map.keys.size()))}}});
      broken_ = true;
      return std::nullopt;
    }
    for (std::size_t i = 0; i < keep.size(); ++i) {
      if (map.keys[i].is(TypeKind::unknown)) map.keys[i] = keep[i].type;
      if (same_family(map.keys[i], keep[i].type)) {
        if (map.keys[i].is(TypeKind::integer) && keep[i].type.is(TypeKind::integer) && !keep[i].constant) map.keys[i].is_signed = map.keys[i].is_signed || keep[i].type.is_signed;
        continue;
      }
      tell({.code = Code::map_keys, .span = keep[i].span, .message = fmt::format("key {} of @{} is {} here and {} elsewhere", i + 1, map.name, describe(keep[i].type.kind), describe(map.keys[i].kind)),
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
  if (map.aggregate == Aggregate::histogram || map.aggregate == Aggregate::linear || map.aggregate == Aggregate::stats) {
    return mistake({.code = Code::aggregation_misuse, .span = expr.span, .message = fmt::format("@{} holds {}(): that is more than one value", expr.text, vmipl::name(map.aggregate)),
                    .hint = fmt::format("print(@{}) prints it", expr.text)});
  }
  if (!map.value_known) return unknown(expr.span);
  Type type = map.value;
  type.bits = 64;
  if (map.aggregate == Aggregate::count) type = Type{.kind = TypeKind::integer, .is_signed = false};
  if (type.open() || !operands) return broken_ && !operands ? error(expr.span) : unknown(expr.span);
  const auto list = operand_list(*operands);
  const auto reg = type.textual() ? new_text() : new_number();
  emit(type.textual() ? Opcode::map_get_text : Opcode::map_get, reg, static_cast<std::uint8_t>(map.id), static_cast<std::uint8_t>(operands->size()), list);
  return result(type, expr.span, reg);
}

}  // namespace vitrine::vmipl
