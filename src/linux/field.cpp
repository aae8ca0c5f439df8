#include "linux/field.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "linux/type_format.h"

namespace vitrine::linux {
namespace {

using btf::Kind;
using btf::Type;

std::unexpected<Problem> unfit(std::string_view path, const Type& type, const char* wanted,
                               std::string hint = {}) {
  return std::unexpected(Problem{Errc::invalid,
                                 fmt::format("{} is {}, not {}", path, type_name(type), wanted),
                                 std::move(hint)});
}

std::string until_nul(Bytes bytes) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  return {text, strnlen(text, bytes.size())};
}

}  // namespace

Span BoundPath::span() const noexcept {
  if (!direct()) return {route_.hops[0], 8};
  return {route_.offset,
          static_cast<std::uint32_t>(std::min<std::uint64_t>(route_.size, UINT32_MAX))};
}

Result<Gva> BoundPath::address(const VirtualMemory& memory, Gva object) const {
  if (!bound()) return fail(Errc::invalid, object.value, "unbound field");
  return route_.follow(memory, object, name_);
}

Result<Gva> BoundPath::address(const VirtualMemory& memory, const Snapshot& object) const {
  if (!bound()) return fail(Errc::invalid, object.object().value, "unbound field");
  if (direct()) return object.object() + route_.offset;
  const Gva place = object.object() + route_.hops[0];
  const auto bytes = object.bytes(route_.hops[0], 8);
  if (!bytes) return fail(Errc::out_of_bounds, place.value, name_);
  const Gva pointer{*vitrine::load<std::uint64_t>(*bytes, 0)};
  if (!pointer) return fail(Errc::not_found, place.value, name_);
  Route rest = route_;
  std::shift_left(rest.hops.begin(), rest.hops.end(), 1);
  --rest.hop_count;
  return rest.follow(memory, pointer, name_);
}

namespace detail {

Outcome<Scalar> fit(const Type& declared, const Route& route, const Need& need,
                    std::string_view path) {
  const Type type = declared.resolved();
  const std::uint64_t size = type.size();
  Scalar scalar;
  if (route.bit_width != 0) {
    scalar.shift = route.bit_shift;
    scalar.bits = route.bit_width;
    scalar.bytes = static_cast<std::uint8_t>((scalar.shift + scalar.bits + 7) / 8);
    if (scalar.bytes > 8)
      return unfit(path, declared, need.cpp, "a bit field across more than 8 bytes");
  } else {
    if (size == 0 || size > 8) return unfit(path, declared, need.cpp);
    scalar.bytes = static_cast<std::uint8_t>(size);
    scalar.bits = static_cast<std::uint8_t>(size * 8);
  }
  scalar.is_signed = type.is_signed();
  const bool is_integer = type.kind() == Kind::integer || type.is_enumeration();

  switch (need.wanted) {
    case Wanted::address:
      if (type.kind() != Kind::pointer && (!is_integer || scalar.bits != 64 || scalar.is_signed)) {
        return unfit(path, declared, need.cpp);
      }
      scalar.is_signed = false;
      break;
    case Wanted::boolean:
      if (!type.is_bool() && route.bit_width != 1) return unfit(path, declared, need.cpp);
      scalar.is_signed = false;
      break;
    case Wanted::integer:
      if (type.kind() == Kind::pointer) return unfit(path, declared, need.cpp, "bind it to a Gva");
      if (!is_integer) return unfit(path, declared, need.cpp);
      if (scalar.bits > need.size * 8)
        return unfit(path, declared, need.cpp, "bind it to a wider integer");
      if (need.is_signed && !scalar.is_signed && scalar.bits == need.size * 8) {
        return unfit(path, declared, need.cpp,
                     "it is unsigned: bind it to an unsigned or a wider integer");
      }
      break;
  }
  return scalar;
}

Result<std::uint64_t> read_scalar(const VirtualMemory& memory, Gva from, Scalar scalar,
                                  const char* what) {
  if (scalar.bytes == 0) return fail(Errc::invalid, from.value, "unbound field");
  std::array<std::byte, 8> bytes{};
  if (auto done = memory.read(from, std::span(bytes).first(scalar.bytes)); !done) {
    return fail(done.error().code, from.value, what);
  }
  return scalar.extract(bytes.data());
}

Outcome<MemberPath> first_of(const TypeCatalogue& types, std::initializer_list<PathName> names,
                             const char*& name) {
  std::optional<Problem> problem;
  for (const PathName& each : names) {
    auto path = MemberPath::compile(types, each.text());
    if (path) {
      name = each.text();
      return path;
    }
    problem = std::move(path.error());
    // Anything but absence (a path too long, a dot for an arrow) is a mistake in the view.
    if (problem->code != Errc::not_found) break;
  }
  return std::unexpected(problem.value_or(Problem{Errc::invalid, "a field without a path"}));
}

}  // namespace detail

Outcome<Field<std::string>> Field<std::string>::from(const TypeCatalogue& types,
                                                     std::initializer_list<PathName> names) {
  Field field;
  const auto path = TRY(detail::first_of(types, names, field.name_));
  const Type type = path.type().resolved();
  const bool holds_text = type.kind() == Kind::array || type.kind() == Kind::pointer;
  if (!holds_text || !type.target().resolved().is_byte() || path.route().bit_width != 0) {
    return unfit(path.text(), path.type(), "text");
  }
  field.route_ = path.route();
  field.through_pointer_ = type.kind() == Kind::pointer;
  return field;
}

Result<std::string> Field<std::string>::read_at(const VirtualMemory& memory, Gva from) const {
  std::size_t limit = route_.size == 0
                          ? kLimit
                          : static_cast<std::size_t>(std::min<std::uint64_t>(route_.size, kLimit));
  if (through_pointer_) {
    const auto pointer = memory.load<std::uint64_t>(from);
    if (!pointer) return fail(pointer.error().code, from.value, name_);
    if (*pointer == 0) return fail(Errc::not_found, from.value, name_);
    from = Gva{*pointer};
    limit = kLimit;
  }
  auto text = memory.load_string(from, limit);
  if (!text) return fail(text.error().code, from.value, name_);
  return text;
}

Result<std::string> Field<std::string>::read(const VirtualMemory& memory, Gva object) const {
  return read_at(memory, TRY(address(memory, object)));
}

Result<std::string> Field<std::string>::read(const Snapshot& object) const {
  if (!direct() || through_pointer_ || route_.size == 0) {
    return fail(Errc::invalid, object.object().value, bound() ? name_ : "unbound field");
  }
  const auto bytes = object.bytes(route_.offset, route_.size);
  if (!bytes) return fail(Errc::out_of_bounds, object.object().value + route_.offset, name_);
  return until_nul(*bytes);
}

Result<std::string> Field<std::string>::read(const VirtualMemory& memory,
                                             const Snapshot& object) const {
  if (direct() && !through_pointer_ && route_.size != 0) return read(object);
  if (direct() && through_pointer_) {
    const auto bytes = object.bytes(route_.offset, 8);
    if (!bytes) return fail(Errc::out_of_bounds, object.object().value + route_.offset, name_);
    const Gva pointer{*vitrine::load<std::uint64_t>(*bytes, 0)};
    if (!pointer) return fail(Errc::not_found, object.object().value + route_.offset, name_);
    auto text = memory.load_string(pointer, kLimit);
    if (!text) return fail(text.error().code, pointer.value, name_);
    return text;
  }
  return read_at(memory, TRY(address(memory, object)));
}

Outcome<Embedded> Embedded::from(const TypeCatalogue& types,
                                 std::initializer_list<PathName> names) {
  Embedded field;
  const auto path = TRY(detail::first_of(types, names, field.name_));
  if (path.route().hop_count != 0 || path.route().bit_width != 0) {
    return std::unexpected(Problem{Errc::invalid, path.text() + " does not lie in its object"});
  }
  field.route_ = path.route();
  Type element = path.type().resolved();
  field.count_ = element.kind() == Kind::array ? element.count() : 1;
  if (element.kind() == Kind::array) element = element.target();
  field.stride_ = element.size();
  return field;
}

void FieldBinder::missing(Problem problem) {
  if (!problem_) {
    problem_ = std::move(problem);
    return;
  }
  problem_->message += "; " + problem.message;
  if (problem_->hint.empty()) problem_->hint = std::move(problem.hint);
}

Outcome<void> FieldBinder::done() const {
  if (problem_) return std::unexpected(*problem_);
  return {};
}

}  // namespace vitrine::linux
