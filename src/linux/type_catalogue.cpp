#include "linux/type_catalogue.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/edit_distance.h"
namespace vitrine::linux {
namespace {

using btf::Kind;
using btf::Type;

struct Wanted {
  std::string_view module;
  std::string_view name;
  std::span<const Kind> kinds;  // in the order of preference
};

constexpr std::array kAnyKind = {Kind::structure,   Kind::union_type,    Kind::type_definition,
                                 Kind::enumeration, Kind::enumeration64, Kind::integer,
                                 Kind::floating};
constexpr std::array kStructKind = {Kind::structure};
constexpr std::array kUnionKind = {Kind::union_type};
constexpr std::array kEnumKinds = {Kind::enumeration, Kind::enumeration64};

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Wanted parse_name(std::string_view text) {
  Wanted wanted;
  // A module's name has no second colon after it; C++ and Rust names have two in a row.
  if (const auto colon = text.find(':');
      colon != std::string_view::npos && colon + 1 < text.size() && text[colon + 1] != ':') {
    wanted.module = trim(text.substr(0, colon));
    text.remove_prefix(colon + 1);
  }
  text = trim(text);
  wanted.kinds = kAnyKind;
  const auto keyword = [&](std::string_view word, std::span<const Kind> kinds) {
    if (!text.starts_with(word) || text.size() <= word.size() || text[word.size()] != ' ') return;
    text = trim(text.substr(word.size()));
    wanted.kinds = kinds;
  };
  keyword("struct", kStructKind);
  keyword("union", kUnionKind);
  keyword("enum", kEnumKinds);
  wanted.name = text;
  return wanted;
}

}  // namespace

Result<TypeCatalogue> TypeCatalogue::parse(std::vector<std::byte> vmlinux) {
  return TypeCatalogue(TRY(btf::Btf::parse(std::move(vmlinux))));
}

Result<void> TypeCatalogue::add_module(std::string name, std::vector<std::byte> blob) {
  if (!vmlinux_) return fail(Errc::invalid, 0, "a module's BTF without vmlinux's");
  auto parsed = TRY(btf::Btf::parse(std::move(blob), vmlinux_));
  modules_.push_back({std::move(name), std::move(parsed)});
  return {};
}

bool TypeCatalogue::has_module(std::string_view name) const noexcept {
  return std::ranges::any_of(modules_, [&](const Module& each) { return each.name == name; });
}

template <class Use>
void TypeCatalogue::each_blob(std::string_view module, Use&& use) const {
  if (vmlinux_ && (module.empty() || module == "vmlinux") && !use(*vmlinux_)) return;
  for (const Module& each : modules_) {
    if ((module.empty() || module == each.name) && !use(*each.btf)) return;
  }
}

std::optional<Type> TypeCatalogue::find(std::string_view name) const {
  const Wanted wanted = parse_name(name);
  for (const Kind kind : wanted.kinds) {
    std::optional<Type> found;
    each_blob(wanted.module, [&](const btf::Btf& blob) {
      found = blob.find(wanted.name, kind);
      return !found;
    });
    if (found) return found;
  }
  return std::nullopt;
}

std::vector<Type> TypeCatalogue::find_all(std::string_view name) const {
  const Wanted wanted = parse_name(name);
  std::vector<Type> all;
  for (const Kind kind : wanted.kinds) {
    each_blob(wanted.module, [&](const btf::Btf& blob) {
      for (const Type& type : blob.find_all(wanted.name)) {
        if (type.kind() == kind) all.push_back(type);
      }
      return true;
    });
  }
  return all;
}

Outcome<Type> TypeCatalogue::type(std::string_view name) const {
  if (const auto found = find(name)) return *found;
  if (empty()) {
    return std::unexpected(Problem{Errc::not_found, "this kernel's types are not known",
                                   "it was built without BTF, or its BTF was not found"});
  }
  const auto near = similar(name, 1);
  return std::unexpected(Problem{Errc::not_found, fmt::format("this kernel has no type {}", name),
                                 near.empty() ? "" : fmt::format("there is {}", near.front())});
}

Outcome<std::uint64_t> TypeCatalogue::size_of(std::string_view type_name) const {
  return TRY(type(type_name)).size();
}

std::optional<std::int64_t> TypeCatalogue::find_enumerator(std::string_view name) const {
  std::optional<std::int64_t> value;
  each_blob({}, [&](const btf::Btf& blob) {
    if (const auto found = blob.find_enumerator(name)) value = found->value;
    return !value;
  });
  return value;
}

Outcome<std::int64_t> TypeCatalogue::enumerator(std::string_view name) const {
  if (const auto value = find_enumerator(name)) return *value;
  return std::unexpected(
      Problem{Errc::not_found, fmt::format("this kernel has no enumerator {}", name)});
}

std::optional<Type> TypeCatalogue::find_function(std::string_view name) const {
  std::optional<Type> found;
  each_blob({}, [&](const btf::Btf& blob) {
    if (const auto function = blob.find(name, Kind::function)) found = function->target();
    return !found;
  });
  return found;
}

std::optional<Type> TypeCatalogue::find_variable(std::string_view name) const {
  std::optional<Type> found;
  each_blob({}, [&](const btf::Btf& blob) {
    if (const auto variable = blob.find(name, Kind::variable)) found = variable->target();
    return !found;
  });
  return found;
}

Type TypeCatalogue::defined(Type type) const {
  if (type.kind() != Kind::forward) return type;
  std::optional<Type> found;
  each_blob({}, [&](const btf::Btf& blob) {
    found = blob.find(type.name(), type.is_forward_union() ? Kind::union_type : Kind::structure);
    return !found;
  });
  return found.value_or(type);
}

std::vector<std::string> TypeCatalogue::similar(std::string_view text, std::size_t most) const {
  const Wanted wanted = parse_name(text);
  std::vector<std::pair<std::size_t, std::string_view>> near;  // how far, which
  const std::size_t limit = std::max<std::size_t>(1, wanted.name.size() / 3);
  each_blob(wanted.module, [&](const btf::Btf& blob) {
    for (std::uint32_t id = blob.first_id(); id < blob.end_id(); ++id) {
      const Type type = blob.type(btf::TypeId{id});
      if (std::ranges::find(wanted.kinds, type.kind()) == wanted.kinds.end()) continue;
      const auto candidate = type.name();
      if (candidate.empty()) continue;
      const auto distance = edit_distance(wanted.name, candidate, limit);
      if (distance <= limit) near.emplace_back(distance, candidate);
    }
    return true;
  });
  std::ranges::sort(near);
  std::vector<std::string> names;
  for (const auto& [distance, each] : near) {
    if (names.size() == most) break;
    if (std::ranges::find(names, each) == names.end()) names.emplace_back(each);
  }
  return names;
}

}  // namespace vitrine::linux
