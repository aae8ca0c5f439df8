#include "vmipl/kernel_description.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "vmipl/catalogue.h"
#include "vmipl/diagnostic.h"

namespace vitrine::vmipl {
namespace {

struct Base {
  std::string_view name;
  GuestShape shape;
};

std::string_view word(std::string_view& rest) {
  const auto first = rest.find_first_not_of(" \t");
  if (first == std::string_view::npos) return rest = {};
  rest.remove_prefix(first);
  const auto end = std::min(rest.find_first_of(" \t"), rest.size());
  const auto out = rest.substr(0, end);
  rest.remove_prefix(end);
  return out;
}

template <class T>
bool number(std::string_view text, T& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

struct KernelDescription::Data final : TypePort {
  struct Symbols final : SymbolPort {
    std::map<std::string, std::pair<std::uint64_t, char>, std::less<>> all;
    std::optional<std::uint64_t> find(std::string_view name) const override {
      const auto at = all.find(name);
      return at == all.end() ? std::nullopt : std::optional(at->second.first);
    }
    std::size_t count(std::string_view glob, std::size_t most) const override {
      std::size_t found = 0;
      for (const auto& [name, what] : all) {
        if ((what.second == 't' || what.second == 'T') && glob_matches(glob, name) &&
            ++found >= most)
          break;
      }
      return found;
    }
    std::string similar(std::string_view name) const override {
      Nearest nearest(name);
      for (const auto& symbol : all) nearest.offer(symbol.first);
      return nearest.best();
    }
  };
  struct Views final : ViewPort {
    std::map<std::string, std::vector<ViewColumn>, std::less<>> all;
    std::optional<std::vector<ViewColumn>> columns(std::string_view view) const override {
      const auto at = all.find(view);
      return at == all.end() ? std::nullopt : std::optional(at->second);
    }
    std::vector<std::string> names() const override {
      std::vector<std::string> out;
      for (const auto& view : all) out.push_back(view.first);
      return out;
    }
  };

  std::string release;
  Symbols symbols;
  Views views;
  std::vector<GuestShape> shapes;
  std::map<std::string, GuestType, std::less<>> types;  // by their text here: "ptr struct x"
  std::map<std::string, GuestType, std::less<>> typedefs;
  std::map<std::string, GuestType, std::less<>> variables;
  std::map<std::string, std::int64_t, std::less<>> enumerators;
  std::map<std::uint32_t, std::vector<std::pair<std::string, GuestMember>>> members;

  Data() {
    const auto base = [&](std::string_view name, std::string c_name, GuestKind kind,
                          std::uint64_t size, bool is_signed, bool character = false) {
      types.emplace(name, static_cast<GuestType>(shapes.size()));
      shapes.push_back({.kind = kind,
                        .name = std::move(c_name),
                        .size = size,
                        .is_signed = is_signed,
                        .is_character = character});
    };
    base("void", "void", GuestKind::none, 0, false);
    base("bool", "_Bool", GuestKind::boolean, 1, false);
    base("char", "char", GuestKind::integer, 1, true, true);
    base("s8", "signed char", GuestKind::integer, 1, true, true);
    base("u8", "unsigned char", GuestKind::integer, 1, false, true);
    base("s16", "short", GuestKind::integer, 2, true);
    base("u16", "unsigned short", GuestKind::integer, 2, false);
    base("s32", "int", GuestKind::integer, 4, true);
    base("u32", "unsigned int", GuestKind::integer, 4, false);
    base("s64", "long", GuestKind::integer, 8, true);
    base("u64", "unsigned long", GuestKind::integer, 8, false);
  }

  // A type as the file writes it. `depth` bounds "ptr ptr ptr ...".
  std::optional<GuestType> intern(std::string_view text, unsigned depth = 0) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    if (const auto at = types.find(text); at != types.end()) return at->second;
    if (const auto at = typedefs.find(text); at != typedefs.end()) return at->second;
    if (depth > 16) return std::nullopt;
    auto rest = text;
    const auto head = word(rest);
    GuestShape shape;
    if (head == "ptr") {
      const auto target = intern(rest, depth + 1);
      if (!target) return std::nullopt;
      const auto& pointed = shapes[static_cast<std::size_t>(*target)];
      shape = {.kind = GuestKind::pointer,
               .name = pointed.name + " *",
               .size = 8,
               .target = *target,
               .has_target = pointed.kind != GuestKind::none};
    } else if (head == "array") {
      std::uint64_t count = 0;
      if (!number(word(rest), count) || count > UINT32_MAX) return std::nullopt;
      const auto element = intern(rest, depth + 1);
      if (!element) return std::nullopt;
      const auto& of = shapes[static_cast<std::size_t>(*element)];
      std::uint64_t size = 0;
      if (__builtin_mul_overflow(of.size, count, &size)) size = 0;
      shape = {.kind = GuestKind::array,
               .name = fmt::format("{}[{}]", of.name, count),
               .size = size,
               .target = *element,
               .has_target = true,
               .count = count};
    } else if ((head == "struct" || head == "union") && !rest.empty()) {
      // Named before it is described, or never.
      shape = {
          .kind = GuestKind::structure, .name = std::string(text), .is_union = head == "union"};
    } else {
      return std::nullopt;
    }
    const auto id = static_cast<GuestType>(shapes.size());
    shapes.push_back(std::move(shape));
    types.emplace(text, id);
    return id;
  }

  std::optional<GuestType> find(std::string_view name) const override {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kC{
        {{"unsigned char", "u8"},
         {"signed char", "s8"},
         {"short", "s16"},
         {"unsigned short", "u16"},
         {"int", "s32"},
         {"unsigned int", "u32"},
         {"unsigned", "u32"},
         {"long", "s64"},
         {"unsigned long", "u64"},
         {"long long", "s64"},
         {"unsigned long long", "u64"},
         {"_Bool", "bool"},
         {"signed", "s32"},
         {"short int", "s16"}}};
    for (const auto& [c, ours] : kC) {
      if (name == c) name = ours;
    }
    const auto described = [&](std::string_view key) -> std::optional<GuestType> {
      const auto at = types.find(key);
      if (at == types.end()) return std::nullopt;
      const auto& shape = shapes[static_cast<std::size_t>(at->second)];
      if (shape.kind == GuestKind::structure && shape.size == 0 &&
          !members.contains(static_cast<std::uint32_t>(at->second)))
        return std::nullopt;
      return at->second;
    };
    if (const auto found = described(name)) return found;
    if (const auto at = typedefs.find(name); at != typedefs.end()) return at->second;
    if (const auto found = described(fmt::format("struct {}", name))) return found;
    return described(fmt::format("union {}", name));
  }
  GuestShape shape(GuestType type) const override {
    const auto index = static_cast<std::size_t>(type);
    if (index >= shapes.size()) return {};
    auto shape = shapes[index];
    // Its elements may have been described after it was named.
    if (shape.kind == GuestKind::array) {
      std::uint64_t size = 0;
      shape.size =
          __builtin_mul_overflow(this->shape(shape.target).size, shape.count, &size) ? 0 : size;
    }
    return shape;
  }
  std::optional<GuestMember> member(GuestType structure, std::string_view name) const override {
    const auto at = members.find(static_cast<std::uint32_t>(structure));
    if (at == members.end()) return std::nullopt;
    for (const auto& [member_name, member] : at->second) {
      if (member_name == name) return member;
    }
    return std::nullopt;
  }
  std::vector<std::string> member_names(GuestType structure) const override {
    std::vector<std::string> out;
    if (const auto at = members.find(static_cast<std::uint32_t>(structure)); at != members.end()) {
      for (const auto& member : at->second) out.push_back(member.first);
    }
    return out;
  }
  std::optional<std::int64_t> enumerator(std::string_view name) const override {
    const auto at = enumerators.find(name);
    return at == enumerators.end() ? std::nullopt : std::optional(at->second);
  }
  std::optional<GuestType> variable(std::string_view symbol) const override {
    const auto at = variables.find(symbol);
    return at == variables.end() ? std::nullopt : std::optional(at->second);
  }
  std::string similar(std::string_view name) const override {
    Nearest nearest(name);
    for (const auto& [text, id] : types) {
      if (text.starts_with("struct ") || text.starts_with("union "))
        nearest.offer(std::string_view(text).substr(text.find(' ') + 1));
    }
    for (const auto& type : typedefs) nearest.offer(type.first);
    return nearest.best();
  }
};

KernelDescription::KernelDescription(std::unique_ptr<Data> data) : data_(std::move(data)) {}
KernelDescription::KernelDescription(KernelDescription&&) noexcept = default;
KernelDescription& KernelDescription::operator=(KernelDescription&&) noexcept = default;
KernelDescription::~KernelDescription() = default;
Ports KernelDescription::ports() const { return {data_.get(), &data_->symbols, &data_->views}; }
const std::string& KernelDescription::release() const { return data_->release; }

Outcome<KernelDescription> KernelDescription::parse(std::string_view text) {
  constexpr std::size_t kMost = 64 * 1024 * 1024;
  if (text.size() > kMost)
    return std::unexpected(Problem{Errc::too_large, "a kernel description has at most 64 MiB"});
  auto data = std::make_unique<Data>();
  std::optional<GuestType> structure;
  std::vector<ViewColumn>* view = nullptr;
  std::size_t line_number = 0;
  bool first = true;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto rest = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_number;
    while (!rest.empty() && (rest.back() == '\r' || rest.back() == ' ')) rest.remove_suffix(1);
    const auto head = word(rest);
    if (head.empty() || head.front() == '#') continue;
    const auto bad = [&](std::string_view why) {
      return std::unexpected(Problem{
          Errc::malformed, fmt::format("line {} of the kernel description: {}", line_number, why)});
    };
    if (first) {
      if (head != "vitrine-kernel") return bad("it does not begin with `vitrine-kernel 1`");
      if (word(rest) != "1") return bad("it is of another version");
      first = false;
      continue;
    }
    if (head == "release") {
      data->release = std::string(word(rest));
    } else if (head == "symbol") {
      std::uint64_t address = 0;
      if (!number(word(rest), address, 16)) return bad("a symbol's address is hexadecimal");
      const auto type = word(rest);
      const auto name = word(rest);
      if (type.size() != 1 || name.empty()) return bad("symbol ADDRESS TYPE NAME");
      data->symbols.all.try_emplace(std::string(name), address, type.front());
    } else if (head == "struct" || head == "union") {
      const auto name = word(rest);
      std::uint64_t size = 0;
      if (name.empty() || !number(word(rest), size) || size > UINT32_MAX)
        return bad("struct NAME BYTES");
      structure = data->intern(fmt::format("{} {}", head, name));
      data->shapes[static_cast<std::size_t>(*structure)].size = size;
      data->members[static_cast<std::uint32_t>(*structure)];
    } else if (head == "member") {
      if (!structure) return bad("a member without its struct");
      const auto name = word(rest);
      GuestMember member;
      if (name.empty() || !number(word(rest), member.offset_bits) ||
          member.offset_bits > (1ULL << 40) || !number(word(rest), member.bit_width) ||
          member.bit_width > 64)
        return bad("member NAME BITS WIDTH TYPE");
      const auto type = data->intern(rest);
      if (!type) return bad(fmt::format("there is no type{}", rest));
      member.type = *type;
      data->members[static_cast<std::uint32_t>(*structure)].emplace_back(name, member);
    } else if (head == "typedef" || head == "variable") {
      const auto name = word(rest);
      const auto type = data->intern(rest);
      if (name.empty() || !type) return bad("typedef NAME TYPE");
      (head == "typedef" ? data->typedefs : data->variables).try_emplace(std::string(name), *type);
    } else if (head == "enum") {
      const auto name = word(rest);
      const auto type = data->intern(rest);
      if (name.empty() || !type ||
          data->shapes[static_cast<std::size_t>(*type)].kind != GuestKind::integer)
        return bad("enum NAME TYPE");
      auto shape = data->shapes[static_cast<std::size_t>(*type)];
      shape.kind = GuestKind::enumeration;
      shape.is_character = false;
      shape.name = fmt::format("enum {}", name);
      if (data->types.try_emplace(shape.name, static_cast<GuestType>(data->shapes.size())).second)
        data->shapes.push_back(std::move(shape));
    } else if (head == "enumerator") {
      const auto name = word(rest);
      std::int64_t value = 0;
      if (name.empty() || !number(word(rest), value)) return bad("enumerator NAME VALUE");
      data->enumerators.try_emplace(std::string(name), value);
    } else if (head == "view") {
      const auto name = word(rest);
      if (name.empty()) return bad("view NAME");
      view = &data->views.all[std::string(name)];
    } else if (head == "column") {
      constexpr std::array<std::string_view, 9> kKinds{
          "boolean", "integer", "address", "mask", "size", "duration", "time", "text", "list"};
      const auto name = word(rest);
      const auto kind = word(rest);
      const auto at = std::find(kKinds.begin(), kKinds.end(), kind);
      if (view == nullptr || name.empty() || at == kKinds.end())
        return bad("column NAME TYPE, after its view");
      view->push_back({std::string(name), static_cast<ColumnKind>(at - kKinds.begin())});
    } else {
      return bad(fmt::format("there is no `{}`", head));
    }
  }
  if (first) return std::unexpected(Problem{Errc::malformed, "the kernel description is empty"});
  return KernelDescription(std::move(data));
}

}  // namespace vitrine::vmipl
