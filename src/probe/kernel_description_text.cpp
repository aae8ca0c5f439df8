#include "probe/kernel_description_text.h"

#include <fmt/format.h>

#include <string>
#include <unordered_set>
#include <vector>

namespace vitrine::probe {
namespace {

using btf::Kind;

class Writer {
 public:
  Writer(const DescribedKernel& kernel, const std::function<bool(std::string_view)>& write)
      : kernel_(kernel), write_(write) {}

  void run() {
    line("vitrine-kernel 1");
    if (is_word(kernel_.release)) line("release {}", kernel_.release);
    for (const auto* table : {&kernel_.symbols, &kernel_.module_symbols}) {
      for (std::size_t i = 0; i < table->size() && going_; ++i) {
        const auto symbol = table->at(i);
        if (is_word(symbol.name))
          line("symbol {:x} {} {}", symbol.address.value, symbol.type, symbol.name);
      }
    }
    if (kernel_.types.vmlinux() != nullptr) types(*kernel_.types.vmlinux());
    flush();
  }

 private:
  template <class... Parts>
  void line(fmt::format_string<Parts...> format, Parts&&... parts) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Parts>(parts)...);
    text_ += '\n';
    if (text_.size() >= 256 * 1024) flush();
  }
  void flush() {
    if (going_ && !text_.empty()) going_ = write_(text_);
    text_.clear();
  }

  // The guest chose its names: those that would break a line are left out.
  static bool is_word(std::string_view text) {
    if (text.empty() || text.size() > 512) return false;
    for (const char c : text) {
      if (c <= ' ' || c > '~') return false;
    }
    return true;
  }

  static std::string_view integer(std::uint64_t size, bool is_signed) {
    switch (size) {
      case 1:
        return is_signed ? "s8" : "u8";
      case 2:
        return is_signed ? "s16" : "u16";
      case 4:
        return is_signed ? "s32" : "u32";
      case 8:
        return is_signed ? "s64" : "u64";
      default:
        return "void";
    }
  }

  // As the file writes a type. A structure without a name gets one, and is described later.
  std::string written(btf::Type type, unsigned depth = 0) {
    type = kernel_.types.defined(type.resolved());
    if (depth > 12) return "void";
    switch (type.kind()) {
      case Kind::integer:
        if (type.is_bool()) return "bool";
        if (type.size() == 1 && type.name() == "char") return "char";
        return std::string(integer(type.size(), type.is_signed()));
      case Kind::enumeration:
      case Kind::enumeration64:
        return std::string(integer(type.size(), type.is_signed()));
      case Kind::pointer:
        return "ptr " + written(type.target(), depth + 1);
      case Kind::array:
        return fmt::format("array {} {}", type.count(), written(type.target(), depth + 1));
      case Kind::structure:
      case Kind::union_type: {
        const auto tag = type.kind() == Kind::structure ? "struct" : "union";
        if (is_word(type.name())) return fmt::format("{} {}", tag, type.name());
        const auto id = static_cast<std::uint32_t>(type.id());
        if (asked_.insert(id).second) nameless_.push_back(type);
        return fmt::format("{} ~{}", tag, id);
      }
      case Kind::forward:
        if (is_word(type.name()))
          return fmt::format("{} {}", type.is_forward_union() ? "union" : "struct", type.name());
        return "void";
      default:
        return "void";
    }
  }

  void members(const btf::Type& type, std::uint64_t base_bits, unsigned depth) {
    if (depth > 32) return;
    for (const auto& member : type.members()) {
      const auto at = base_bits + member.bit_offset;
      if (member.name.empty()) {
        members(member.type.resolved(), at, depth + 1);
        continue;
      }
      if (!is_word(member.name)) continue;
      auto offset = at;
      auto width = member.bit_width;
      const auto plain = member.type.resolved();
      if (width == 0 && plain.kind() == Kind::integer && plain.integer_bits() != 0) {
        offset += plain.integer_bit_offset();
        width = plain.integer_bits();
      }
      line("member {} {} {} {}", member.name, offset, width, written(member.type));
    }
  }

  void structure(const btf::Type& type, std::string_view name) {
    line("{} {} {}", type.kind() == Kind::structure ? "struct" : "union", name, type.size());
    members(type, 0, 0);
  }

  void types(const btf::Btf& btf) {
    std::unordered_set<std::string> seen;  // the first of a name counts, as TypeCatalogue has it
    for (auto id = btf.first_id(); id < btf.end_id() && going_; ++id) {
      const auto type = btf.type(static_cast<btf::TypeId>(id));
      const auto name = type.name();
      if (type.is_enumeration()) {
        if (is_word(name) && seen.insert("enum " + std::string(name)).second)
          line("enum {} {}", name, integer(type.size(), type.is_signed()));
        for (const auto& enumerator : type.enumerators()) {
          if (is_word(enumerator.name)) line("enumerator {} {}", enumerator.name, enumerator.value);
        }
      } else if (type.is_compound() && is_word(name)) {
        const auto tag = type.kind() == Kind::structure ? "struct " : "union ";
        if (seen.insert(tag + std::string(name)).second) structure(type, name);
      } else if (type.kind() == Kind::type_definition && is_word(name)) {
        if (seen.insert("typedef " + std::string(name)).second)
          line("typedef {} {}", name, written(type.target()));
      } else if (type.kind() == Kind::variable && is_word(name)) {
        if (seen.insert("variable " + std::string(name)).second)
          line("variable {} {}", name, written(type.target()));
      }
    }
    // Describing one may meet further ones; each is met once.
    for (std::size_t i = 0; i < nameless_.size() && going_; ++i) {
      const auto type = nameless_[i];
      structure(type, fmt::format("~{}", static_cast<std::uint32_t>(type.id())));
    }
  }

  const DescribedKernel& kernel_;
  const std::function<bool(std::string_view)>& write_;
  std::string text_;
  bool going_ = true;
  std::unordered_set<std::uint32_t> asked_;
  std::vector<btf::Type> nameless_;
};

}  // namespace

void describe_kernel(const DescribedKernel& kernel,
                     const std::function<bool(std::string_view)>& write) {
  Writer(kernel, write).run();
}

}  // namespace vitrine::probe
