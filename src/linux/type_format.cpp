#include "linux/type_format.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

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

namespace {

constexpr std::uint64_t kCacheLine = 64;  // bytes, as pahole counts on x86
constexpr std::size_t kMaxText = 1 << 20;

/// The anonymous struct, union or enumeration that a member declares in place (itself or
/// as an array's element), else void.
Type in_place(Type type) {
  while (type.kind() == Kind::array || type.kind() == Kind::const_qualifier ||
         type.kind() == Kind::volatile_qualifier || type.kind() == Kind::type_tag) {
    type = type.target();
  }
  return (type.is_compound() || type.is_enumeration()) && type.name().empty() ? type : Type{};
}

std::string_view keyword(const Type& type) {
  if (type.kind() == Kind::structure) return "struct";
  return type.kind() == Kind::union_type ? "union" : "enum";
}

std::string plural(std::uint64_t count, std::string_view unit) {
  return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
}

class Printer {
 public:
  void definition(const Type& type) {
    switch (type.kind()) {
      case Kind::structure:
      case Kind::union_type:
        text_ +=
            fmt::format("{}{}{} {{\n", keyword(type), type.name().empty() ? "" : " ", type.name());
        compound(type, 0, 1);
        text_ += "};\n";
        break;
      case Kind::enumeration:
      case Kind::enumeration64:
        text_ += fmt::format("enum{}{} {{\n", type.name().empty() ? "" : " ", type.name());
        enumerators(type, 1);
        text_ += "};\n";
        break;
      case Kind::type_definition:
        if (const Type inner = in_place(type.target()); !inner.is_void()) {
          const auto [head, tail] = around(type.target(), inner, type.name());
          text_ += fmt::format("typedef {} {{\n", head);
          body(inner, 0, 1);
          text_ += fmt::format("}} {};\n", tail);
        } else {
          text_ += fmt::format("typedef {};\n", declaration(type.target(), type.name()));
        }
        break;
      case Kind::function:
        text_ += type_name(type) + ";\n";
        break;
      case Kind::variable:
        text_ += fmt::format("{};  /* size: {} */\n", type_name(type), type.size());
        break;
      case Kind::forward:
        text_ += type_name(type) + ";  /* not defined here */\n";
        break;
      case Kind::data_section:
        text_ += fmt::format("section {} {{\n", type.name());
        for (const btf::SectionVariable& each : type.section_variables()) {
          if (full()) break;
          line(1, declaration(each.variable.target(), each.variable.name()), "",
               fmt::format("{:5} {:5}", each.offset, each.size));
        }
        text_ += "};\n";
        break;
      default:
        text_ += fmt::format("{};  /* size: {} */\n", type_name(type), type.size());
        break;
    }
  }

  std::string take() && {
    if (full()) text_ += "/* cut: more than 1 MiB of text */\n";
    return std::move(text_);
  }

 private:
  struct Layout {
    std::uint64_t end = 0;       // bits taken so far
    std::uint64_t unit_end = 0;  // of the last bit field's storage; 0: it was none
    std::uint64_t members = 0, holes = 0, hole_bytes = 0;
    std::uint64_t field_bits = 0, bit_holes = 0, bit_hole_bits = 0;
  };

  [[nodiscard]] bool full() const { return text_.size() > kMaxText; }

  void body(const Type& type, std::uint64_t base, unsigned depth) {
    if (type.is_enumeration())
      enumerators(type, depth);
    else
      compound(type, base, depth);
  }

  /// A declaration around a type that is written out in place: "const struct" and "name[4]".
  struct Around {
    std::string head, tail;
  };
  static Around around(const Type& type, const Type& inner, std::string_view name) {
    const auto whole = declaration(type, name);
    const auto anonymous = type_name(inner);
    const auto at = whole.find(anonymous);
    if (at == std::string::npos) return {std::string(keyword(inner)), std::string(name)};
    auto tail = whole.substr(at + anonymous.size());
    if (tail.starts_with(' ')) tail.erase(0, 1);
    return {whole.substr(0, at) + std::string(keyword(inner)), std::move(tail)};
  }

  void line(unsigned depth, std::string words, const std::string& name, std::string_view comment) {
    text_.append(depth, '\t');
    const int width = std::max(0, 34 - 8 * static_cast<int>(depth));
    if (!name.empty()) words = fmt::format("{:{}} {}", words, width, name);
    text_ += fmt::format("{:{}} /* {} */\n", words + ";", width + 22, comment);
  }

  void remark(unsigned depth, std::string_view words) {
    text_.append(depth, '\t');
    text_ += fmt::format("/* {} */\n", words);
  }

  void enumerators(const Type& type, unsigned depth) {
    std::size_t width = 0;
    for (const btf::Enumerator& each : type.enumerators())
      width = std::max(width, each.name.size());
    width = std::min<std::size_t>(width, 64);
    for (const btf::Enumerator& each : type.enumerators()) {
      if (full()) return;
      text_.append(depth, '\t');
      if (type.is_signed()) {
        text_ += fmt::format("{:{}} = {},\n", each.name, width, each.value);
      } else {
        text_ +=
            fmt::format("{:{}} = {},\n", each.name, width, static_cast<std::uint64_t>(each.value));
      }
    }
  }

  void compound(const Type& type, std::uint64_t base, unsigned depth) {
    const bool is_union = type.kind() == Kind::union_type;
    Layout layout;
    // Each way through a union starts at the same byte, and so at the same cache line.
    const std::uint64_t first_line = last_cache_line_;
    for (const btf::Member& member : type.members()) {
      if (full()) return;
      if (is_union)
        last_cache_line_ = first_line;
      else
        hole(layout, member.bit_offset, depth);
      cache_line(base + member.offset(), depth);
      place(layout, member, base, depth);
    }
    if (depth == 1) summary(type, layout, is_union);
  }

  void hole(Layout& layout, std::uint64_t start, unsigned depth) {
    if (start <= layout.end) return;
    bool any = false;
    const auto say_bits = [&](std::uint64_t bits) {
      if (bits == 0) return;
      if (!any) text_ += '\n';
      any = true;
      remark(depth, fmt::format("XXX {} hole", plural(bits, "bit")));
      ++layout.bit_holes;
      layout.bit_hole_bits += bits;
      layout.end += bits;
    };
    say_bits(std::min(std::max(layout.unit_end, layout.end), start) - layout.end);
    if (const std::uint64_t bytes = (start - layout.end) / 8; bytes != 0) {
      if (!any) text_ += '\n';
      any = true;
      remark(depth, fmt::format("XXX {} hole", plural(bytes, "byte")));
      ++layout.holes;
      layout.hole_bytes += bytes;
      layout.end += bytes * 8;
    }
    say_bits(start - layout.end);
    if (any) text_ += '\n';
  }

  void cache_line(std::uint64_t offset, unsigned depth) {
    const std::uint64_t cache_line = offset / kCacheLine;
    if (cache_line <= last_cache_line_) return;
    last_cache_line_ = cache_line;
    const std::uint64_t past = offset % kCacheLine;
    remark(depth, fmt::format("--- cacheline {} boundary ({} bytes) {}---", cache_line,
                              cache_line * kCacheLine,
                              past == 0 ? "" : fmt::format("was {} ago ", plural(past, "byte"))));
  }

  void place(Layout& layout, const btf::Member& member, std::uint64_t base, unsigned depth) {
    const std::uint64_t size = member.type.size();
    std::string where;
    if (member.is_bit_field()) {
      const std::uint64_t unit = std::max<std::uint64_t>(size, 1) * 8;
      const std::uint64_t first = member.bit_offset / unit * unit;
      where = fmt::format("{:5}:{:2} {:2}", base + first / 8, member.bit_offset - first, size);
      layout.unit_end = first + unit;
      layout.end = std::max(layout.end, member.bit_offset + member.bit_width);
      layout.field_bits += member.bit_width;
    } else {
      where = fmt::format("{:5} {:5}", base + member.offset(), size);
      layout.unit_end = 0;
      layout.members += size;
      std::uint64_t end;
      if (__builtin_mul_overflow(size, 8u, &end) ||
          __builtin_add_overflow(end, member.bit_offset, &end)) {
        end = ~std::uint64_t{0};  // forged
      }
      layout.end = std::max(layout.end, end);
    }

    const Type inner = in_place(member.type);
    if (!inner.is_void() && depth < kMaxDepth) {
      text_.append(depth, '\t');
      auto [head, rest] = around(member.type, inner, member.name);
      text_ += fmt::format("{} {{\n", head);
      body(inner, base + member.offset(), depth + 1);
      if (member.is_bit_field()) rest += fmt::format(":{}", member.bit_width);
      text_.append(depth, '\t');
      text_ += fmt::format("{:{}} /* {} */\n", rest.empty() ? "};" : "} " + rest + ";",
                           std::max(0, 56 - 8 * static_cast<int>(depth)), where);
      return;
    }
    // The marker cannot occur in names, which are printable.
    auto words = declaration(member.type, "\x01" + std::string(member.name));
    const auto marker = words.find('\x01');
    auto split = marker;
    if (marker != std::string::npos) {
      words.erase(marker, 1);
      while (split > 0 && (words[split - 1] == '*' || words[split - 1] == '(')) --split;
      if (words.find('(', split) >= marker) split = marker;
    } else {
      split = 0;
    }
    std::string left = words.substr(0, split);
    while (left.ends_with(' ')) left.pop_back();
    std::string right = words.substr(split);
    if (member.is_bit_field()) right += fmt::format(":{}", member.bit_width);
    line(depth, std::move(left), std::move(right), where);
  }

  void summary(const Type& type, const Layout& layout, bool is_union) {
    const std::uint64_t size = type.size();
    text_ += '\n';
    remark(1, fmt::format("size: {}, cachelines: {}, members: {}", size,
                          (size + kCacheLine - 1) / kCacheLine, type.count()));
    if (!is_union) {
      if (layout.holes != 0 || layout.bit_holes != 0) {
        remark(1, fmt::format("sum members: {}{}", layout.members,
                              layout.holes == 0 ? ""
                                                : fmt::format(", holes: {}, sum holes: {}",
                                                              layout.holes, layout.hole_bytes)));
      }
      if (layout.field_bits != 0 && (layout.holes != 0 || layout.bit_holes != 0)) {
        remark(1, fmt::format("sum bitfield members: {} bits{}", layout.field_bits,
                              layout.bit_holes == 0
                                  ? ""
                                  : fmt::format(", bit holes: {}, sum bit holes: {} bits",
                                                layout.bit_holes, layout.bit_hole_bits)));
      }
      std::uint64_t end = layout.end;
      const std::uint64_t unit_end = std::min(std::max(layout.unit_end, end), size * 8);
      const std::uint64_t bits = unit_end > end ? unit_end - end : 0;
      end += bits;
      if (size * 8 > end && (size * 8 - end) / 8 != 0) {
        remark(1, fmt::format("padding: {}", (size * 8 - end) / 8));
      }
      if (bits != 0) remark(1, fmt::format("bit_padding: {} bits", bits));
    }
    if (size % kCacheLine != 0)
      remark(1, fmt::format("last cacheline: {} bytes", size % kCacheLine));
  }

  std::string text_;
  std::uint64_t last_cache_line_ = 0;
};

}  // namespace

std::string format_type(const Type& type) {
  Printer printer;
  printer.definition(type);
  return std::move(printer).take();
}

}  // namespace vitrine::linux
