#include "linux/type_format.h"

#include <fmt/core.h>

namespace vitrine::linux {
namespace {

using btf::Kind;
using btf::Type;

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxDeclaration = 64 * 1024;

std::string tag_name(const Type& type, std::string_view keyword) {
  return fmt::format("{} {}", keyword, type.name().empty() ? "(anon)" : type.name());
}

/// Builds a declaration from the inside out: `inner` is what stands where the name does.
/// A prototype may lead back into itself through its parameters, and a forged one may fan out:
/// depth and the total of the text are bounded, and "..." stands for the rest.
class Declarer {
 public:
  std::string declare(const Type& type, std::string inner, int depth) {
    written_ += 8 + inner.size();
    if (depth > kMaxDepth || written_ > kMaxDeclaration)
      return inner.empty() ? "..." : "... " + inner;
    const auto spaced = [&](std::string word) {
      if (!inner.empty()) (word += ' ') += inner;
      return word;
    };
    const auto onward = [&] { return declare(type.target(), std::move(inner), depth + 1); };
    switch (type.kind()) {
      case Kind::void_type:
        return spaced("void");
      case Kind::structure:
        return spaced(tag_name(type, "struct"));
      case Kind::union_type:
        return spaced(tag_name(type, "union"));
      case Kind::enumeration:
      case Kind::enumeration64:
        return spaced(tag_name(type, "enum"));
      case Kind::forward:
        return spaced(tag_name(type, type.is_forward_union() ? "union" : "struct"));
      case Kind::pointer: {
        const Kind to = type.target().kind();
        inner.insert(0, "*");
        if (to == Kind::array || to == Kind::function_prototype) inner = "(" + inner + ")";
        return onward();
      }
      case Kind::array:
        inner += type.count() == 0 ? std::string("[]") : fmt::format("[{}]", type.count());
        return onward();
      case Kind::function_prototype:
        inner += "(" + parameters(type, depth) + ")";
        return onward();
      case Kind::function:
      case Kind::variable:
        inner = type.name();
        return onward();
      case Kind::type_tag:
        return onward();
      case Kind::const_qualifier:
        return qualified("const", type, std::move(inner), depth);
      case Kind::volatile_qualifier:
        return qualified("volatile", type, std::move(inner), depth);
      case Kind::restrict_qualifier:
        return qualified("restrict", type, std::move(inner), depth);
      default:
        return spaced(std::string(type.name().empty() ? "(anon)" : type.name()));
    }
  }

 private:
  /// A qualified pointer's word stands behind its asterisk, any other's before the type.
  std::string qualified(std::string word, const Type& type, std::string inner, int depth) {
    const Kind to = type.target().kind();
    const bool behind =
        to == Kind::pointer || ((to == Kind::const_qualifier || to == Kind::volatile_qualifier ||
                                 to == Kind::restrict_qualifier || to == Kind::type_tag) &&
                                type.resolved().kind() == Kind::pointer);
    if (behind) {
      if (!inner.empty()) (word += ' ') += inner;
      return declare(type.target(), std::move(word), depth + 1);
    }
    return word + " " + declare(type.target(), std::move(inner), depth + 1);
  }

  std::string parameters(const Type& prototype, int depth) {
    std::string text;
    for (const btf::Parameter& each : prototype.parameters()) {
      if (!text.empty()) text += ", ";
      if (written_ > kMaxDeclaration) return text + "...";
      text += each.type.is_void() && each.name.empty()
                  ? "..."
                  : declare(each.type, std::string(each.name), depth + 1);
    }
    return text.empty() ? "void" : text;
  }

  std::size_t written_ = 0;
};

}  // namespace

std::string type_name(const Type& type) { return Declarer().declare(type, {}, 0); }

std::string declaration(const Type& type, std::string_view name) {
  return Declarer().declare(type, std::string(name), 0);
}

std::string format_type(const Type& type) { return type_name(type) + "\n"; }

}  // namespace vitrine::linux
