// What a type of a blob says of itself: a view into the blob, read when asked.
#include <array>
#include <utility>

#include "format/btf_entry.h"

namespace vitrine::btf {
namespace {

constexpr int kMaxAnonymous = 32;  // anonymous compounds within one another
constexpr std::uint32_t kMaxMembersPassed = 1'000'000;

constexpr std::array<std::string_view, kKinds> kNames = {
    "VOID", "INT",     "PTR",      "ARRAY",    "STRUCT",   "UNION", "ENUM",
    "FWD",  "TYPEDEF", "VOLATILE", "CONST",    "RESTRICT", "FUNC",  "FUNC_PROTO",
    "VAR",  "DATASEC", "FLOAT",    "DECL_TAG", "TYPE_TAG", "ENUM64"};

Result<bool> find_within(const Type& compound, std::string_view name, std::uint64_t bit_offset,
                         int depth, std::uint32_t& budget, Member& found) noexcept {
  if (depth > kMaxAnonymous)
    return fail(Errc::cycle, std::to_underlying(compound.id()), "BTF anonymous members");
  for (const Member& member : compound.members()) {
    if (budget-- == 0)
      return fail(Errc::too_large, std::to_underlying(compound.id()), "BTF members");
    if (member.name.empty()) {
      const Type inner = member.type.resolved();
      if (!inner.is_compound()) continue;  // `int : 4`, padding
      if (TRY(find_within(inner, name, bit_offset + member.bit_offset, depth + 1, budget, found))) {
        return true;
      }
    } else if (member.name == name) {
      found = member;
      found.bit_offset += bit_offset;
      return true;
    }
  }
  return false;
}

}  // namespace

std::string_view name(Kind kind) noexcept {
  const auto index = static_cast<std::size_t>(kind);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

std::uint32_t Type::word(std::size_t index) const noexcept { return load32(raw_ + 4 * index); }

Kind Type::kind() const noexcept {
  if (raw_ == nullptr) return Kind::void_type;
  const auto kind = kind_of(word(1));
  return kind < kKinds ? static_cast<Kind>(kind) : Kind::unknown;
}

std::uint8_t Type::raw_kind() const noexcept {
  return raw_ == nullptr ? std::uint8_t{0} : static_cast<std::uint8_t>(kind_of(word(1)));
}

std::string_view Type::name() const noexcept {
  return raw_ == nullptr ? std::string_view{} : btf_->string(word(0));
}

bool Type::is_modifier() const noexcept { return raw_ != nullptr && modifies(kind_of(word(1))); }

Type Type::target() const noexcept {
  switch (kind()) {
    case Kind::array:
      return btf_->type(TypeId{word(3)});
    case Kind::pointer:
    case Kind::type_definition:
    case Kind::volatile_qualifier:
    case Kind::const_qualifier:
    case Kind::restrict_qualifier:
    case Kind::function:
    case Kind::function_prototype:
    case Kind::variable:
    case Kind::declaration_tag:
    case Kind::type_tag:
      return btf_->type(TypeId{word(2)});
    default:
      return {};
  }
}

Type Type::resolved() const noexcept {
  Type type = *this;
  while (type.is_modifier()) type = type.target();
  return type;
}

std::uint64_t Type::size() const noexcept {
  std::uint64_t elements = 1;
  Type type = *this;
  while (type.is_modifier() || type.kind() == Kind::array || type.kind() == Kind::variable) {
    if (type.kind() == Kind::array) elements *= type.count();
    type = type.target();
  }
  switch (type.kind()) {
    case Kind::pointer:
      return elements * 8;
    case Kind::integer:
    case Kind::structure:
    case Kind::union_type:
    case Kind::enumeration:
    case Kind::enumeration64:
    case Kind::data_section:
    case Kind::floating:
      return elements * type.word(2);
    default:
      return 0;
  }
}

std::uint32_t Type::count() const noexcept {
  switch (kind()) {
    case Kind::array:
      return word(5);
    case Kind::structure:
    case Kind::union_type:
    case Kind::enumeration:
    case Kind::enumeration64:
    case Kind::function_prototype:
    case Kind::data_section:
      return count_of(word(1));
    default:
      return 0;
  }
}

bool Type::is_signed() const noexcept {
  switch (kind()) {
    case Kind::integer:
      return (word(3) >> 24 & 1) != 0;
    case Kind::enumeration:
      return flag_of(word(1)) || !btf_->enums_have_sign_;
    case Kind::enumeration64:
      return flag_of(word(1));
    default:
      return false;
  }
}

bool Type::is_bool() const noexcept { return kind() == Kind::integer && (word(3) >> 26 & 1) != 0; }

bool Type::is_byte() const noexcept {
  return kind() == Kind::integer && word(2) == 1 && !is_bool();
}

bool Type::is_forward_union() const noexcept { return kind() == Kind::forward && flag_of(word(1)); }

std::uint32_t Type::integer_bits() const noexcept {
  if (kind() != Kind::integer) return 0;
  const std::uint32_t bits = word(3) & 0xff;
  return bits == word(2) * 8 ? 0 : bits;
}

std::uint32_t Type::integer_bit_offset() const noexcept {
  return kind() == Kind::integer ? word(3) >> 16 & 0xff : 0;
}

std::uint32_t Type::linkage() const noexcept {
  if (kind() == Kind::function) return count_of(word(1));
  return kind() == Kind::variable ? word(3) : 0;
}

std::int32_t Type::tagged_component() const noexcept {
  return kind() == Kind::declaration_tag ? static_cast<std::int32_t>(word(3)) : -1;
}

Member Type::member(std::uint32_t index) const noexcept {
  if (!is_compound() || index >= count()) return {};
  const std::size_t at = 3 + std::size_t{index} * 3;
  const std::uint32_t place = word(at + 2);
  Member member{.name = btf_->string(word(at)), .type = btf_->type(TypeId{word(at + 1)})};
  if (flag_of(word(1))) {
    member.bit_offset = place & 0xffffff;
    member.bit_width = place >> 24;
  } else {
    member.bit_offset = place;
    const Type integer = member.type.resolved();
    if (const auto bits = integer.integer_bits(); bits != 0) {
      member.bit_offset += integer.integer_bit_offset();
      member.bit_width = bits;
    }
  }
  return member;
}

Enumerator Type::enumerator(std::uint32_t index) const noexcept {
  if (!is_enumeration() || index >= count()) return {};
  if (kind() == Kind::enumeration64) {
    const std::size_t at = 3 + std::size_t{index} * 3;
    const std::uint64_t value = word(at + 1) | std::uint64_t{word(at + 2)} << 32;
    return {btf_->string(word(at)), static_cast<std::int64_t>(value)};
  }
  const std::size_t at = 3 + std::size_t{index} * 2;
  const std::uint32_t value = word(at + 1);
  return {btf_->string(word(at)),
          is_signed() ? std::int64_t{static_cast<std::int32_t>(value)} : std::int64_t{value}};
}

Parameter Type::parameter(std::uint32_t index) const noexcept {
  if (kind() != Kind::function_prototype || index >= count()) return {};
  const std::size_t at = 3 + std::size_t{index} * 2;
  return {btf_->string(word(at)), btf_->type(TypeId{word(at + 1)})};
}

SectionVariable Type::section_variable(std::uint32_t index) const noexcept {
  if (kind() != Kind::data_section || index >= count()) return {};
  const std::size_t at = 3 + std::size_t{index} * 3;
  return {btf_->type(TypeId{word(at)}), word(at + 1), word(at + 2)};
}

Result<Member> Type::find_member(std::string_view name) const noexcept {
  Member found;
  std::uint32_t budget = kMaxMembersPassed;
  if (!name.empty() && TRY(find_within(resolved(), name, 0, 0, budget, found))) return found;
  return fail(Errc::not_found, std::to_underlying(id_), "BTF member");
}

std::string_view Type::enumerator_name(std::int64_t value) const noexcept {
  for (const Enumerator& each : enumerators()) {
    if (each.value == value) return each.name;
  }
  return {};
}

}  // namespace vitrine::btf
