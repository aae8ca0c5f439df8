// Names, members, places, casts.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/compiler.h"
#include "vmipl/habits.h"

namespace vitrine::vmipl {

Type type_of(FieldType type) {
  switch (type) {
    case FieldType::boolean: return type_of(TypeKind::boolean);
    case FieldType::integer: return type_of(TypeKind::integer);
    case FieldType::word: return Type{.kind = TypeKind::integer, .is_signed = false};
    case FieldType::address: return type_of(TypeKind::address);
    case FieldType::text: return type_of(TypeKind::text);
    case FieldType::bytes: return type_of(TypeKind::bytes);
    case FieldType::duration: return type_of(TypeKind::duration);
    case FieldType::time: return type_of(TypeKind::time);
    case FieldType::list: return type_of(TypeKind::list);
    case FieldType::stack: return type_of(TypeKind::stack);
  }
  return {};
}

Type type_of(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::boolean: return type_of(TypeKind::boolean);
    case ColumnKind::integer:
    case ColumnKind::size: return type_of(TypeKind::integer);
    case ColumnKind::address: return type_of(TypeKind::address);
    case ColumnKind::mask: return Type{.kind = TypeKind::integer, .is_signed = false};
    case ColumnKind::duration: return type_of(TypeKind::duration);
    case ColumnKind::time: return type_of(TypeKind::time);
    case ColumnKind::text: return type_of(TypeKind::text);
    case ColumnKind::list: return type_of(TypeKind::list);
  }
  return {};
}

ValueType value_type(const Type& type) {
  switch (type.kind) {
    case TypeKind::boolean: return ValueType::boolean;
    case TypeKind::text: return ValueType::text;
    case TypeKind::bytes: return ValueType::bytes;
    case TypeKind::duration: return ValueType::duration;
    case TypeKind::time: return ValueType::time;
    case TypeKind::address:
    case TypeKind::pointer: return ValueType::address;
    case TypeKind::list: return ValueType::list;
    case TypeKind::stack: return ValueType::stack;
    default: return type.is_signed ? ValueType::integer : ValueType::word;
  }
}

std::string_view describe(TypeKind kind) noexcept {
  switch (kind) {
    case TypeKind::error:
    case TypeKind::unknown: return "something unknown";
    case TypeKind::nothing: return "nothing";
    case TypeKind::boolean: return "a bool";
    case TypeKind::integer: return "a number";
    case TypeKind::text: return "text";
    case TypeKind::bytes: return "bytes";
    case TypeKind::duration: return "a duration";
    case TypeKind::time: return "a time";
    case TypeKind::address: return "an address";
    case TypeKind::pointer: return "a pointer";
    case TypeKind::structure: return "a structure";
    case TypeKind::array: return "an array";
    case TypeKind::row: return "a row";
    case TypeKind::list: return "a list";
    case TypeKind::stack: return "a stack";
    case TypeKind::aggregation: return "an aggregation";
    case TypeKind::output: return "an output";
    case TypeKind::group: return "a group of values";
    case TypeKind::map: return "a map";
    case TypeKind::pattern: return "a pattern";
  }
  return "something";
}

Value Compiler::expression(ExprId id) {
  if (id == ExprId::none) return error({});
  const Expr& expr = script_.at(id);
  switch (expr.kind) {
    case Expr::Kind::bad: return error(expr.span);
    case Expr::Kind::integer: {
      Type type = type_of(expr.bare ? TypeKind::address : TypeKind::integer);
      type.is_signed = type.is(TypeKind::integer) && expr.value <= INT64_MAX;
      auto value = number_constant(expr.value, type, expr.span);
      value.literal = true;
      return value;
    }
    case Expr::Kind::duration: return number_constant(expr.value, type_of(TypeKind::duration), expr.span);
    case Expr::Kind::boolean: {
      auto value = boolean(expr.value != 0, expr.span);
      value.literal = true;
      return value;
    }
    case Expr::Kind::string: return Value{.type = type_of(TypeKind::text), .span = expr.span, .constant = true, .text = expr.text};
    case Expr::Kind::name: return name(expr);
    case Expr::Kind::map: return map_read(expr);
    case Expr::Kind::field: return field(expr);
    case Expr::Kind::arrow: return arrow(expr);
    case Expr::Kind::index: return index(expr);
    case Expr::Kind::call: return call(expr);
    case Expr::Kind::unary: return unary(expr);
    case Expr::Kind::binary: return binary(expr);
    case Expr::Kind::conditional: return conditional(expr);
    case Expr::Kind::cast: return cast(expr);
    case Expr::Kind::size_of: return size_of(expr);
    case Expr::Kind::offset_of: return offset_of(expr);
    case Expr::Kind::output: return Value{.type = type_of(TypeKind::output), .span = expr.span, .text = expr.text};
    case Expr::Kind::mac:
    case Expr::Kind::star: return Value{.type = type_of(TypeKind::pattern), .span = expr.span, .number = expr.value};
  }
  return error(expr.span);
}

Value Compiler::rvalue(ExprId id) { return rvalue(expression(id)); }

Value Compiler::rvalue(Value value) {
  if (value.is_place) return read_place(value);
  switch (value.type.kind) {
    case TypeKind::nothing:
      if (value.use == 1) {
        return mistake({.code = Code::missing_return, .span = value.span, .message = fmt::format("{} is used as a value, and returns none", quote(value.span)), .hint = "return x, or: fn f(x) = x"});
      }
      return mistake({.code = Code::no_value, .span = value.span, .message = fmt::format("{} does something; it has no value", quote(value.span))});
    case TypeKind::aggregation:
      return mistake({.code = Code::aggregation_misuse, .span = value.span, .message = fmt::format("{} is not a value: it is assigned to a map", quote(value.span)),
                      .hint = fmt::format("@name[key] = {}", source_.text(value.span))});
    case TypeKind::row:
      return mistake({.code = Code::no_value, .span = value.span, .message = fmt::format("{} is a row: take a column of it", quote(value.span))});
    case TypeKind::group:
      return mistake({.code = Code::no_value, .span = value.span, .message = fmt::format("{} has fields, and no value of its own", quote(value.span)),
                      .hint = value.group == "process" ? "process.name, process.pid ..." : value.group == "thread" ? "thread.tid ..." : ""});
    case TypeKind::output:
      return mistake({.code = Code::wrong_argument, .span = value.span, .message = fmt::format("{} is an output; here a value stands", quote(value.span))});
    case TypeKind::map:
      return mistake({.code = Code::map_keys, .span = value.span, .message = fmt::format("{} is a whole map; here an entry stands", quote(value.span)), .hint = "@map[key]"});
    case TypeKind::pattern: return mistake({.code = Code::wrong_argument, .span = value.span, .message = fmt::format("{} is no value", quote(value.span))});
    default: return value;
  }
}

Value Compiler::address_expression(ExprId id) {
  ++in_address_;
  auto value = rvalue(id);
  --in_address_;
  return value;
}

// ---- names

Value Compiler::name(const Expr& expr) {
  for (std::size_t i = locals_.size(); i > floor_; --i) {
    const auto& local = locals_[i - 1];
    if (local.name != expr.text) continue;
    used_.insert(local.span.begin);
    Value value = local.value;
    value.span = expr.span;
    return value;
  }
  if (const auto constant = constants_.find(expr.text); constant != constants_.end()) return constant_item(*constant->second, expr);
  if (const auto* found = find_moment("", expr.text)) return moment(*found, expr.span);
  if (is_moment_group(expr.text) || expr.text == "event" || expr.text == "reg" || expr.text == "phys") {
    Value value{.type = type_of(TypeKind::group), .span = expr.span};
    value.group = expr.text;
    return value;
  }
  if (options_.ports.types != nullptr) {
    if (const auto number = options_.ports.types->enumerator(expr.text)) {
      program_.fixed = true;
      return number_constant(static_cast<std::uint64_t>(*number), type_of(TypeKind::integer), expr.span);
    }
  }
  return unknown_name(expr);
}

Value Compiler::unknown_name(const Expr& expr) {
  const auto& word = expr.text;
  const auto tell_fix = [&](std::string message, std::string ours) {
    return mistake({.code = Code::unknown_name, .span = expr.span, .message = std::move(message), .fix = Fix{expr.span, ours, fmt::format("write {}", ours)}});
  };
  if (const auto* function = find_function(word); function != nullptr || functions_.contains(word)) {
    return mistake({.code = Code::unknown_name, .span = expr.span, .message = fmt::format("{} is a function: it is called", word),
                    .expected = function != nullptr ? std::string(function->written) : word + "(...)"});
  }
  if (options_.ports.symbols != nullptr && options_.ports.symbols->find(word)) return symbol(word, expr.span);
  if (options_.ports.views != nullptr && options_.ports.views->columns(word)) {
    return mistake({.code = Code::unknown_name, .span = expr.span, .message = fmt::format("{} is a view: its rows come one by one", word),
                    .expected = fmt::format("for (row in {}) {{ ... }}", word)});
  }
  if (const auto reg = find_register(word)) {
    return tell_fix(fmt::format("a register's value is reg.{}", registers()[*reg].name), fmt::format("reg.{}", registers()[*reg].name));
  }
  if (const auto ours = value_habit(word); !ours.empty()) return tell_fix(fmt::format("there is no {}: here it is called {}", word, ours), std::string(ours));

  Nearest nearest(word);
  for (std::size_t i = floor_; i < locals_.size(); ++i) nearest.offer(locals_[i].name);
  for (const auto& constant : constants_) nearest.offer(constant.first);
  for (const auto& moment : moments()) {
    if (moment.group.empty()) nearest.offer(moment.name);
  }
  for (const std::string_view group : {"process", "thread", "syscall", "event", "reg"}) nearest.offer(group);
  if (word == "true" || word == "True" || word == "TRUE") nearest.offer("true");
  if (word == "False" || word == "FALSE") nearest.offer("false");

  const bool capitals = word.size() > 1 && std::none_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (options_.ports.types == nullptr && !nearest.found() && capitals) {
    tell({.code = Code::unchecked_symbol, .span = expr.span, .message = fmt::format("{} is taken for an enumerator of the guest's kernel, unchecked", word),
          .hint = "check with --vm VM or --kernel FILE to be sure"});
    return unknown(expr.span);
  }
  if (options_.ports.symbols == nullptr && (!nearest.found() || in_address_ > 0) && !(word.front() >= 'A' && word.front() <= 'Z')) {
    if (in_address_ == 0) {
      tell({.code = Code::unchecked_symbol, .span = expr.span, .message = fmt::format("{} is taken for a symbol of the guest's kernel, unchecked", word),
            .hint = fmt::format("write &{} if that is meant; check with --vm VM or --kernel FILE to be sure", word)});
    }
    return symbol(word, expr.span);
  }
  Diagnostic diagnostic{.code = Code::unknown_name, .span = expr.span, .message = fmt::format("{} means nothing here", word)};
  if (!nearest.found() && options_.ports.symbols != nullptr) {
    diagnostic.message = fmt::format("{} is neither declared nor a symbol of this kernel", word);
    if (in_address_ > 0) {
      diagnostic.code = Code::unknown_symbol;
      diagnostic.message = fmt::format("this kernel has no symbol {}", word);
    }
    nearest.offer(options_.ports.symbols->similar(word));
  }
  suggest(diagnostic, nearest, expr.span);
  return mistake(std::move(diagnostic));
}

Value Compiler::symbol(std::string name, Span span) {
  Value value{.type = type_of(TypeKind::address), .span = span};
  value.is_symbol = true;
  value.text = std::move(name);
  if (options_.ports.symbols == nullptr) {
    if (std::find(assumed_.begin(), assumed_.end(), value.text) == assumed_.end()) assumed_.push_back(value.text);
    incomplete_ = true;
  }
  return value;
}

Value Compiler::constant_item(const Item& item, const Expr& use) {
  used_.insert(item.name_span.begin);
  if (std::find(const_stack_.begin(), const_stack_.end(), item.name) != const_stack_.end()) {
    return mistake({.code = Code::recursion, .span = item.name_span, .message = fmt::format("{} is defined by itself", item.name)});
  }
  const_stack_.push_back(item.name);
  const auto floor = std::exchange(floor_, locals_.size());
  auto value = expression(item.value);
  floor_ = floor;
  const_stack_.pop_back();
  if (!value.constant && !value.is_symbol && !value.type.open()) {
    value = mistake({.code = Code::not_constant, .span = value.span, .message = fmt::format("{} is not known before the script runs", quote(value.span)),
                     .hint = "a const is made of numbers, text, other constants and symbols"});
  }
  value.literal = false;
  value.span = use.span;
  return value;
}

Value Compiler::moment(const MomentInfo& info, Span span) {
  if (probe_ == nullptr && !lenient_) {
    return mistake({.code = Code::not_constant, .span = span, .message = fmt::format("{} is not known before the script runs", source_.text(span)),
                    .hint = "what depends on the moment goes into `when (...)` or into the block"});
  }
  const auto carries = probe_ != nullptr ? probe_->carries : 0;
  if (!lenient_ && (info.carries & ~carries) != 0) {
    const auto full = info.group.empty() ? std::string(info.name) : fmt::format("{}.{}", info.group, info.name);
    Diagnostic diagnostic{.code = Code::not_here, .span = span, .message = fmt::format("{} does not carry {}", probe_->name, full)};
    const auto missing = info.carries & ~carries;
    if ((missing & Carries::moment) != 0) diagnostic.hint = "it runs on the host's clock: no virtual CPU stands at an event then";
    else if ((missing & Carries::result) != 0) diagnostic.hint = "`ret` belongs to Return and SyscallReturn";
    else if ((missing & Carries::arguments) != 0) diagnostic.hint = "arguments belong to ExecuteAt, Syscall and SyscallReturn; registers are reg.rdi ...";
    else diagnostic.hint = "it belongs to Syscall and SyscallReturn";
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
  return result(type, span, reg);
}

Value Compiler::event_field(std::string_view name, Span name_span, Span span) {
  if (lenient_) return unknown(span);
  if (probe_ == nullptr) return error(span);
  for (std::size_t i = 0; i < probe_->fields.size(); ++i) {
    const auto& field = probe_->fields[i];
    if (field.name != name) continue;
    const Type type = type_of(field.type);
    const auto reg = type.textual() ? new_text() : new_number();
    emit(type.textual() ? Opcode::event_text : Opcode::event, reg, 0, 0, static_cast<std::int32_t>(i));
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
  Diagnostic diagnostic{.code = elsewhere ? Code::not_here : Code::unknown_field, .span = name_span,
                        .message = fmt::format("{} does not carry event.{}", probe_->name, name)};
  if (!names.empty()) diagnostic.expected = fmt::format("event.{}", fmt::join(names, ", event."));
  else diagnostic.hint = fmt::format("the event of {} has no fields", probe_->name);
  suggest(diagnostic, nearest, name_span);
  return mistake(std::move(diagnostic));
}

// ---- members

Value Compiler::field(const Expr& expr) {
  auto base = expression(expr.a);
  if (base.type.open()) return base.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
  if (base.type.is(TypeKind::group)) {
    if (base.group == "event") return event_field(expr.text, expr.name_span, expr.span);
    if (base.group == "reg") {
      const auto found = find_register(expr.text);
      const bool lower = found && registers()[*found].name == expr.text;
      if (!found || !lower) {
        Nearest nearest(expr.text);
        if (found) nearest.offer(registers()[*found].name);
        for (const auto& candidate : registers()) nearest.offer(candidate.name);
        Diagnostic diagnostic{.code = Code::unknown_register, .span = expr.name_span, .message = fmt::format("there is no register reg.{}", expr.text)};
        if (found) {
          const auto name = std::string(registers()[*found].name);
          diagnostic.message = fmt::format("the register is called reg.{} here", name);
          diagnostic.fix = Fix{expr.name_span, name, fmt::format("write {}", name)};
        } else {
          suggest(diagnostic, nearest, expr.name_span);
        }
        return mistake(std::move(diagnostic));
      }
      const auto reg = new_number();
      emit(Opcode::reg, reg, 0, 0, *found);
      return result(Type{.kind = TypeKind::integer, .is_signed = false}, expr.span, reg);
    }
    if (base.group == "phys") {
      return mistake({.code = Code::unknown_field, .span = expr.span, .message = "physical memory is read by phys.u8(address) ... phys.u64(address)"});
    }
    if (const auto* found = find_moment(base.group, expr.text)) return moment(*found, expr.span);
    Nearest nearest(expr.text);
    for (const auto& candidate : moments()) {
      if (candidate.group == base.group) nearest.offer(candidate.name);
    }
    Diagnostic diagnostic{.code = Code::unknown_field, .span = expr.name_span, .message = fmt::format("{} has no field {}", base.group, expr.text)};
    std::string_view meant;
    for (const auto ours : field_habit(expr.text)) {
      if (meant.empty() && find_moment(base.group, ours) != nullptr) meant = ours;
    }
    suggest(diagnostic, nearest, expr.name_span, meant);
    if (!diagnostic.fix) {
      std::vector<std::string_view> names;
      for (const auto& candidate : moments()) {
        if (candidate.group == base.group) names.push_back(candidate.name);
      }
      diagnostic.expected = fmt::format("{}", fmt::join(names, ", "));
    }
    return mistake(std::move(diagnostic));
  }
  if (base.type.is(TypeKind::row)) {
    auto& use = program_.views[base.use];
    const auto columns = options_.ports.views != nullptr ? options_.ports.views->columns(use.view) : std::nullopt;
    if (!columns) return unknown(expr.span);
    Nearest nearest(expr.text);
    for (const auto& column : *columns) {
      nearest.offer(column.name);
      if (column.name != expr.text) continue;
      const Type type = type_of(column.kind);
      const auto at = std::find(use.columns.begin(), use.columns.end(), expr.text);
      const auto number = static_cast<std::int32_t>(at - use.columns.begin());
      if (at == use.columns.end()) {
        use.columns.push_back(expr.text);
        use.types.push_back(value_type(type));
      }
      const auto reg = type.textual() ? new_text() : new_number();
      emit(type.textual() ? Opcode::column_text : Opcode::column, reg, base.slot, 0, number);
      return result(type, expr.span, reg);
    }
    Diagnostic diagnostic{.code = Code::unknown_column, .span = expr.name_span, .message = fmt::format("the view {} has no column {}", use.view, expr.text)};
    std::string_view meant;
    for (const auto ours : field_habit(expr.text)) {
      const bool there = std::any_of(columns->begin(), columns->end(), [&](const ViewColumn& column) { return column.name == ours; });
      if (meant.empty() && there) meant = ours;
    }
    suggest(diagnostic, nearest, expr.name_span, meant);
    if (!diagnostic.fix) {
      std::vector<std::string_view> names;
      for (const auto& column : *columns) names.push_back(column.name);
      diagnostic.expected = fmt::format("{}", fmt::join(names, ", "));
    }
    return mistake(std::move(diagnostic));
  }
  if (base.is_place && base.type.is(TypeKind::structure)) return member(base, expr);
  if (base.is_place || base.type.is(TypeKind::pointer)) {
    const bool pointer = !base.is_place || base.type.is(TypeKind::pointer);
    if (pointer) {
      const Span dot{script_.at(expr.a).span.end, expr.name_span.begin};
      return mistake({.code = Code::not_a_structure, .span = dot, .message = fmt::format("{} is a pointer: its members are taken with ->", quote(script_.at(expr.a).span)),
                      .fix = Fix{dot, "->", "write ->"}});
    }
  }
  return mistake({.code = Code::not_a_structure, .span = expr.name_span,
                  .message = fmt::format("{} is {}: it has no member {}", quote(script_.at(expr.a).span), describe(base.type.kind), expr.text)});
}

Value Compiler::arrow(const Expr& expr) {
  ++in_address_;
  auto base = expression(expr.a);
  --in_address_;
  if (base.type.open()) return base.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
  if (base.is_place && base.type.is(TypeKind::structure)) {
    const Span sign{script_.at(expr.a).span.end, expr.name_span.begin};
    return mistake({.code = Code::not_a_pointer, .span = sign, .message = fmt::format("{} is a structure, not a pointer: its members are taken with .", quote(script_.at(expr.a).span)),
                    .fix = Fix{sign, ".", "write ."}});
  }
  if (base.type.is(TypeKind::group) || base.type.is(TypeKind::row)) {
    const Span sign{script_.at(expr.a).span.end, expr.name_span.begin};
    return mistake({.code = Code::not_a_pointer, .span = sign, .message = "this is no pointer: its fields are taken with .", .fix = Fix{sign, ".", "write ."}});
  }
  base = rvalue(std::move(base));
  if (base.type.open()) return base.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
  if (!base.type.is(TypeKind::pointer)) {
    Diagnostic diagnostic{.code = Code::not_a_pointer, .span = script_.at(expr.a).span,
                          .message = fmt::format("{} is {}: to follow it, say what it points to", quote(script_.at(expr.a).span), describe(base.type.kind))};
    if (base.type.is(TypeKind::address) || base.type.is(TypeKind::integer)) diagnostic.hint = fmt::format("((struct NAME *){})->{}", source_.text(script_.at(expr.a).span), expr.text);
    return mistake(std::move(diagnostic));
  }
  if (!base.type.has_guest) return untyped(base, expr.span);
  Value place = place_at(base, base.type.guest, expr.span);
  if (!place.type.is(TypeKind::structure)) {
    return mistake({.code = Code::not_a_pointer, .span = script_.at(expr.a).span,
                    .message = fmt::format("{} does not point to a structure", quote(script_.at(expr.a).span)), .hint = "take what it points to with * or [0]"});
  }
  return member(place, expr);
}

Value Compiler::untyped(const Value& pointer, Span span) {
  if (options_.ports.types == nullptr) return unknown(span);
  return mistake({.code = Code::not_a_pointer, .span = pointer.span, .message = fmt::format("{} points to nothing that has a type", quote(pointer.span)),
                  .hint = fmt::format("((struct NAME *){})->member", source_.text(pointer.span))});
}

Value Compiler::place_at(Value base, GuestType type, Span span) {
  Value place{.type = guest_value_type(type), .span = span};
  place.reg = number(base);
  place.in_register = true;
  place.is_place = true;
  place.type.guest = type;
  return place;
}

Type Compiler::guest_value_type(GuestType guest) {
  Type type;
  type.has_guest = true;
  type.guest = guest;
  const auto shape = options_.ports.types->shape(guest);
  type.is_signed = shape.is_signed;
  switch (shape.kind) {
    case GuestKind::boolean: type.kind = TypeKind::boolean; break;
    case GuestKind::integer:
    case GuestKind::enumeration:
      type.kind = TypeKind::integer;
      type.bits = static_cast<std::uint8_t>(std::min<std::uint64_t>(shape.size * 8, 64));
      break;
    case GuestKind::pointer:
      type.kind = TypeKind::pointer;
      type.has_guest = shape.has_target;
      type.guest = shape.target;
      break;
    case GuestKind::array: type.kind = TypeKind::array; break;
    case GuestKind::structure: type.kind = TypeKind::structure; break;
    case GuestKind::none: type.kind = TypeKind::structure; break;
  }
  return type;
}

Value Compiler::member(const Value& base, const Expr& expr) {
  const auto* types = options_.ports.types;
  const auto shape = types->shape(base.type.guest);
  const auto found = types->member(base.type.guest, expr.text);
  if (!found) {
    Diagnostic diagnostic{.code = Code::unknown_member, .span = expr.name_span, .message = fmt::format("{} has no member {}", shape.name.empty() ? "this structure" : shape.name, expr.text)};
    Nearest nearest(expr.text);
    for (const auto& candidate : types->member_names(base.type.guest)) nearest.offer(candidate);
    suggest(diagnostic, nearest, expr.name_span);
    return mistake(std::move(diagnostic));
  }
  Value place = base;
  place.span = expr.span;
  place.offset_bits += found->offset_bits;
  place.bit_width = found->bit_width;
  const bool fresh = base.path.empty() && base.offset_bits == 0;
  if (!base.path.empty()) {
    place.path = base.path + '.' + expr.text;
  } else if (fresh && shape.name.find(' ') != std::string::npos) {
    place.path = shape.name + '.' + expr.text;
  } else {
    program_.fixed = true;
  }
  // What a pointer member points to is in the type of its value; the place keeps the member's own.
  place.type = guest_value_type(found->type);
  place.type.guest = found->type;
  place.type.has_guest = true;
  return place;
}

Value Compiler::index(const Expr& expr) {
  auto base = expression(expr.a);
  auto at = rvalue(expr.b);
  if (base.type.open()) return base.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
  if (!want_number(at, "an index")) return error(expr.span);
  GuestType element{};
  Value start;
  if (base.is_place && base.type.is(TypeKind::array)) {
    const auto shape = options_.ports.types->shape(base.type.guest);
    element = shape.target;
    if (at.constant && shape.count > 0 && at.number >= shape.count) {
      return mistake({.code = Code::out_of_range, .span = at.span, .message = fmt::format("{} has {} elements: the last is [{}]", quote(script_.at(expr.a).span), shape.count, shape.count - 1)});
    }
    start = address_of_place(base);
  } else {
    start = rvalue(base);
    if (start.type.open()) return start.type.is(TypeKind::error) ? error(expr.span) : unknown(expr.span);
    if (!start.type.is(TypeKind::pointer)) {
      Diagnostic diagnostic{.code = Code::not_indexable, .span = script_.at(expr.a).span, .message = fmt::format("{} is {}: it has no elements", quote(script_.at(expr.a).span), describe(start.type.kind))};
      if (start.type.is(TypeKind::address) || start.type.is(TypeKind::integer)) diagnostic.hint = "read memory with u64(address + 8 * i), or cast to a typed pointer";
      return mistake(std::move(diagnostic));
    }
    if (!start.type.has_guest) return untyped(start, expr.span);
    element = start.type.guest;
  }
  const auto shape = options_.ports.types->shape(element);
  if (shape.size == 0) return mistake({.code = Code::not_indexable, .span = expr.span, .message = "elements of unknown size cannot be counted"});
  const auto size = new_number();
  emit(Opcode::number, size, 0, 0, shape.name.empty() || shape.kind != GuestKind::structure ? pool(shape.size) : relocated({.kind = Relocation::type_size, .name = shape.name}, shape.size));
  const auto distance = new_number();
  emit(Opcode::mul, distance, number(at), size);
  const auto address = new_number();
  emit(Opcode::add, address, number(start), distance);
  return place_at(result(type_of(TypeKind::address), expr.span, address), element, expr.span);
}

// ---- casts, sizes

std::optional<GuestType> Compiler::guest_type(const TypeName& type) {
  const auto* types = options_.ports.types;
  if (types == nullptr) return std::nullopt;
  static constexpr std::string_view kTags[] = {"", "struct ", "union ", "enum "};
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kOurs{{{"u8", "unsigned char"}, {"u16", "unsigned short"}, {"u32", "unsigned int"},
      {"u64", "unsigned long"}, {"s8", "signed char"}, {"s16", "short"}, {"s32", "int"}, {"s64", "long"}}};
  const auto full = std::string(kTags[type.tag]) + type.name;
  if (const auto found = types->find(full)) return found;
  for (const auto& [ours, theirs] : kOurs) {
    if (type.name == ours) {
      if (const auto found = types->find(theirs)) return found;
    }
  }
  Diagnostic diagnostic{.code = Code::unknown_type, .span = type.span, .message = fmt::format("this kernel has no type {}", full)};
  Nearest nearest(type.name);
  nearest.offer(types->similar(type.name));
  if (nearest.found()) diagnostic.label = fmt::format("did you mean {}?", nearest.best());
  tell(std::move(diagnostic));
  broken_ = true;
  return std::nullopt;
}

Value Compiler::cast(const Expr& expr) {
  const auto& type = script_.types[expr.type];
  auto value = address_expression(expr.a);
  if (type.pointers > 0) {
    if (value.type.open() && value.type.is(TypeKind::error)) return value;
    if (!want_address(value, "a pointer's value")) return error(expr.span);
    Type pointer = type_of(TypeKind::pointer);
    if (type.pointers == 1 && type.name != "void") {
      const auto guest = guest_type(type);
      if (!guest && options_.ports.types != nullptr) return error(expr.span);
      if (guest) {
        pointer.has_guest = true;
        pointer.guest = *guest;
      } else {
        incomplete_ = true;
      }
    } else if (type.name != "void") {
      // A pointer to a pointer: the element is a word; what lies behind it is cast again.
      (void)guest_type(type);
      if (options_.ports.types != nullptr) {
        if (const auto word = options_.ports.types->find("unsigned long")) {
          pointer.has_guest = true;
          pointer.guest = *word;
        }
      }
    }
    value.type = pointer;
    value.span = expr.span;
    value.literal = false;
    return value;
  }
  struct Integer {
    std::string_view name;
    std::uint8_t bits;
    bool is_signed;
  };
  static constexpr auto kIntegers = std::to_array<Integer>({{"u8", 8, false}, {"u16", 16, false}, {"u32", 32, false}, {"u64", 64, false}, {"s8", 8, true},
      {"s16", 16, true}, {"s32", 32, true}, {"s64", 64, true}, {"char", 8, true}, {"signed char", 8, true}, {"unsigned char", 8, false}, {"short", 16, true},
      {"unsigned short", 16, false}, {"int", 32, true}, {"unsigned int", 32, false}, {"unsigned", 32, false}, {"long", 64, true}, {"unsigned long", 64, false},
      {"long long", 64, true}, {"unsigned long long", 64, false}});
  std::uint8_t bits = 0;
  bool is_signed = false;
  for (const auto& integer : kIntegers) {
    if (type.tag == TypeName::plain && integer.name == type.name) {
      bits = integer.bits;
      is_signed = integer.is_signed;
    }
  }
  if (bits == 0 && (type.name == "bool" || type.name == "_Bool")) {
    return mistake({.code = Code::bad_cast, .span = expr.span, .message = "a truth value is made by a comparison", .hint = "write x != 0"});
  }
  if (bits == 0) {
    if (type.tag == TypeName::structure || type.tag == TypeName::union_) {
      return mistake({.code = Code::bad_cast, .span = expr.span, .message = "nothing is cast to a structure, only to a pointer to one", .hint = fmt::format("({} *)", source_.text(type.span))});
    }
    if (options_.ports.types == nullptr) return unknown(expr.span);
    const auto guest = guest_type(type);
    if (!guest) return error(expr.span);
    const auto shape = options_.ports.types->shape(*guest);
    if (shape.kind != GuestKind::integer && shape.kind != GuestKind::enumeration) {
      return mistake({.code = Code::bad_cast, .span = expr.span, .message = fmt::format("nothing is cast to {}", type.name)});
    }
    bits = static_cast<std::uint8_t>(shape.size * 8);
    is_signed = shape.is_signed;
  }
  if (value.type.open()) return value;
  if (!value.type.numeric()) {
    return mistake({.code = Code::bad_cast, .span = expr.span, .message = fmt::format("{} is not cast to a number", describe(value.type.kind)),
                    .hint = value.type.textual() ? "len(text) is its length" : ""});
  }
  Type to{.kind = TypeKind::integer, .bits = bits, .is_signed = is_signed};
  if (value.constant) {
    std::uint64_t number = value.number;
    if (bits < 64) {
      number &= (1ULL << bits) - 1;
      if (is_signed && (number >> (bits - 1)) != 0) number |= ~((1ULL << bits) - 1);
    }
    return number_constant(number, to, expr.span);
  }
  const auto from = number(value);
  if (bits == 64) return result(to, expr.span, from);
  const auto reg = new_number();
  emit(is_signed ? Opcode::extend_s : Opcode::extend_u, reg, from, bits);
  return result(to, expr.span, reg);
}

Value Compiler::size_of(const Expr& expr) {
  const Type type{.kind = TypeKind::integer, .is_signed = false};
  GuestType guest{};
  if (expr.a != ExprId::none) {
    const auto value = expression(expr.a);
    if (value.type.open()) return value;
    if (!value.is_place) return mistake({.code = Code::wrong_type, .span = expr.span, .message = "sizeof is of a type, or of a place in the guest"});
    guest = value.type.guest;
  } else {
    const auto& name = script_.types[expr.type];
    if (name.pointers > 0) return number_constant(8, type, expr.span);
    if (options_.ports.types == nullptr) return unknown(expr.span);
    const auto found = guest_type(name);
    if (!found) return error(expr.span);
    guest = *found;
  }
  const auto shape = options_.ports.types->shape(guest);
  program_.fixed = program_.fixed || shape.kind == GuestKind::structure;
  return number_constant(shape.size, type, expr.span);
}

Value Compiler::offset_of(const Expr& expr) {
  const Type type{.kind = TypeKind::integer, .is_signed = false};
  if (options_.ports.types == nullptr) return unknown(expr.span);
  auto at = guest_type(script_.types[expr.type]);
  if (!at) return error(expr.span);
  std::uint64_t bits = 0;
  std::string_view rest = expr.text;
  std::uint32_t from = expr.name_span.begin;
  while (!rest.empty()) {
    const auto dot = std::min(rest.find('.'), rest.size());
    const auto step = rest.substr(0, dot);
    const auto found = options_.ports.types->member(*at, step);
    if (!found) {
      const Span span{from, from + static_cast<std::uint32_t>(step.size())};
      Diagnostic diagnostic{.code = Code::unknown_member, .span = span, .message = fmt::format("{} has no member {}", options_.ports.types->shape(*at).name, step)};
      Nearest nearest(step);
      for (const auto& candidate : options_.ports.types->member_names(*at)) nearest.offer(candidate);
      suggest(diagnostic, nearest, span);
      return mistake(std::move(diagnostic));
    }
    bits += found->offset_bits;
    at = found->type;
    from += static_cast<std::uint32_t>(dot) + 1;
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  program_.fixed = true;
  return number_constant(bits / 8, type, expr.span);
}

}  // namespace vitrine::vmipl
