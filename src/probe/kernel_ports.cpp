#include "probe/kernel_ports.h"

#include "linux/type_format.h"
#include "probe/named_places.h"

namespace vitrine::probe {

using btf::Kind;
using vmipl::GuestKind;
using vmipl::GuestMember;
using vmipl::GuestShape;
using vmipl::GuestType;

namespace {

constexpr unsigned kMaxNesting = 32;  // of anonymous members

bool is_function(Kind kind) { return kind == Kind::function || kind == Kind::function_prototype; }

void names_of(const btf::Type& type, std::vector<std::string>& out, unsigned depth) {
  if (depth > kMaxNesting || out.size() > 10'000) return;
  for (const auto& member : type.members()) {
    if (member.name.empty())
      names_of(member.type.resolved(), out, depth + 1);
    else
      out.emplace_back(member.name);
  }
}

}  // namespace

// A declaration alone becomes its definition, where a blob has one.
GuestType KernelTypes::intern(btf::Type type) const {
  type = types_.defined(type.resolved());
  auto& same = by_id_[static_cast<std::uint32_t>(type.id())];
  for (const auto index : same) {
    if (interned_[index] == type) return static_cast<GuestType>(index);
  }
  same.push_back(static_cast<std::uint32_t>(interned_.size()));
  interned_.push_back(type);
  return static_cast<GuestType>(interned_.size() - 1);
}

btf::Type KernelTypes::type(GuestType number) const {
  const auto index = static_cast<std::size_t>(number);
  return index < interned_.size() ? interned_[index] : btf::Type{};
}

std::optional<GuestType> KernelTypes::find(std::string_view name) const {
  const auto found = types_.find(name);
  if (!found) return std::nullopt;
  return intern(*found);
}

GuestShape KernelTypes::shape(GuestType number) const {
  const auto of = type(number);
  GuestShape shape{.name = linux::type_name(of), .size = of.size()};
  switch (of.kind()) {
    case Kind::integer:
      shape.kind = of.is_bool() ? GuestKind::boolean : GuestKind::integer;
      shape.is_signed = of.is_signed();
      shape.is_character = !of.is_bool() && of.is_byte();
      if (shape.size > 8) shape.kind = GuestKind::none;  // 128 bits fit no number
      break;
    case Kind::enumeration:
    case Kind::enumeration64:
      shape.kind = GuestKind::enumeration;
      shape.is_signed = of.is_signed();
      break;
    case Kind::pointer: {
      const auto target = types_.defined(of.target().resolved());
      shape.kind = GuestKind::pointer;
      shape.size = 8;
      shape.has_target = !target.is_void() && !is_function(target.kind());
      if (shape.has_target) shape.target = intern(target);
      break;
    }
    case Kind::array:
      shape.kind = GuestKind::array;
      shape.target = intern(of.target());
      shape.has_target = true;
      shape.count = of.count();
      break;
    case Kind::structure:
    case Kind::union_type:
    case Kind::forward:
      shape.kind = GuestKind::structure;
      shape.is_union =
          of.kind() == Kind::union_type || (of.kind() == Kind::forward && of.is_forward_union());
      break;
    default:
      break;
  }
  return shape;
}

std::optional<GuestMember> KernelTypes::member(GuestType structure, std::string_view name) const {
  const auto found = type(structure).find_member(name);
  if (!found) return std::nullopt;
  GuestMember member{.offset_bits = found->bit_offset,
                     .bit_width = static_cast<std::uint8_t>(found->bit_width),
                     .type = intern(found->type)};
  // Old encoders describe a bit field by the type of its own that its integer gets.
  const auto plain = found->type.resolved();
  if (!found->is_bit_field() && plain.kind() == Kind::integer && plain.integer_bits() != 0) {
    member.offset_bits += plain.integer_bit_offset();
    member.bit_width = static_cast<std::uint8_t>(plain.integer_bits());
  }
  return member;
}

std::vector<std::string> KernelTypes::member_names(GuestType structure) const {
  std::vector<std::string> out;
  names_of(type(structure), out, 0);
  return out;
}

// A pass over all enumerators costs 0.2 ms, and a script says the same names again and again.
std::optional<std::int64_t> KernelTypes::enumerator(std::string_view name) const {
  if (const auto known = enumerators_.find(name); known != enumerators_.end()) return known->second;
  return enumerators_.emplace(std::string(name), types_.find_enumerator(name)).first->second;
}

std::optional<GuestType> KernelTypes::variable(std::string_view symbol) const {
  const auto found = types_.find_variable(symbol);
  if (!found) return std::nullopt;
  return intern(found->kind() == Kind::variable ? found->target() : *found);
}

std::string KernelTypes::similar(std::string_view name) const {
  const auto names = types_.similar(name, 1);
  return names.empty() ? std::string() : names.front();
}

std::optional<std::uint64_t> KernelSymbols::find(std::string_view name) const {
  auto found = kernel_.symbols().find(name);
  if (!found) found = kernel_.module_symbols().find(name);
  if (!found) return std::nullopt;
  return found->value;
}

std::size_t KernelSymbols::count(std::string_view glob, std::size_t most) const {
  return functions_named(kernel_, glob, most).size();
}

std::string KernelSymbols::similar(std::string_view name) const {
  const auto names = kernel_.symbols().similar(name, 1);
  return names.empty() ? std::string() : names.front();
}

std::optional<std::vector<vmipl::ViewColumn>> LinuxViews::columns(std::string_view view) const {
  for (const auto* known : views_) {
    if (known->info().name != view) continue;
    std::vector<vmipl::ViewColumn> out;
    for (const auto& column : known->info().columns)
      out.push_back({std::string(column.name), static_cast<vmipl::ColumnKind>(column.type)});
    return out;
  }
  return std::nullopt;
}

std::vector<std::string> LinuxViews::names() const {
  std::vector<std::string> out;
  for (const auto* view : views_) out.emplace_back(view->info().name);
  return out;
}

static_assert(static_cast<int>(vmipl::ColumnKind::list) ==
                      static_cast<int>(linux::ColumnType::list) &&
                  static_cast<int>(vmipl::ColumnKind::duration) ==
                      static_cast<int>(linux::ColumnType::duration),
              "the two lists go in step");

}  // namespace vitrine::probe
