// Offsets: where members lie in this kernel's structures, for readers that fetch a whole
// object in one read and take it apart here.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/problem.h"
#include "linux/type_catalogue.h"
#include "linux/type_path.h"

namespace vitrine::linux {

/// Collects offsets and remembers the first that this kernel does not have:
///
///   Offsets of(types);
///   layout.list = of.need("module.list");
///   if (of.missing()) return std::unexpected(*of.missing());
class Offsets {
 public:
  /// `types` must outlive this.
  explicit Offsets(const TypeCatalogue& types) : types_(types) {}

  /// The offset of a member within its object, in bytes. Paths do not follow pointers.
  [[nodiscard]] std::optional<std::uint32_t> find(std::string_view path) const {
    const auto compiled = MemberPath::compile(types_, path);
    if (!compiled || compiled->route().hop_count != 0) return std::nullopt;
    return compiled->route().offset;
  }

  /// As find(); 0 and missing() if this kernel has none.
  [[nodiscard]] std::uint32_t need(std::string_view path) {
    const auto compiled = MemberPath::compile(types_, path);
    if (compiled && compiled->route().hop_count == 0) return compiled->route().offset;
    if (!missing_)
      missing_ = compiled ? Problem(Errc::invalid, "a path with pointers") : compiled.error();
    return 0;
  }

  /// A type's size in bytes.
  [[nodiscard]] std::uint64_t need_size(std::string_view type) {
    const auto size = types_.size_of(type);
    if (size) return *size;
    if (!missing_) missing_ = size.error();
    return 0;
  }

  /// A member's size in bytes; 0 if this kernel has no such member.
  [[nodiscard]] std::uint64_t size(std::string_view path) const {
    const auto compiled = MemberPath::compile(types_, path);
    return compiled ? compiled->route().size : 0;
  }

  [[nodiscard]] const std::optional<Problem>& missing() const { return missing_; }

 private:
  const TypeCatalogue& types_;
  std::optional<Problem> missing_;
};

}  // namespace vitrine::linux
