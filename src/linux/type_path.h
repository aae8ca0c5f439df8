// MemberPath: a way through the guest's structures, written as in C.
//
//   task_struct.comm                              a member
//   task_struct.mm->exe_file->f_path.dentry       -> follows a pointer
//   task_struct.signal->rlim[7].rlim_cur          [i] takes an element
//
// Compiled once against the guest's own types to a few offsets. Authors of views will
// rather use linux/field.h, which is built on it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/problem.h"
#include "linux/type_catalogue.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// Where a path leads, as numbers: plain data, 48 bytes.
struct Route {
  static constexpr std::size_t kMaxHops = 6;

  std::array<std::uint32_t, kMaxHops>
      hops{};  ///< at each, from where we are, lies a pointer to follow
  std::uint8_t hop_count = 0;
  std::uint8_t bit_shift = 0;  ///< of a bit field: its first bit within the byte at `offset`
  std::uint8_t bit_width = 0;  ///< of a bit field; 0: whole bytes
  std::uint32_t offset = 0;    ///< bytes, from the object or from what the last pointer points to
  std::uint64_t size = 0;      ///< bytes to read; 0: a flexible array, or no size is known

  /// Follows the pointers.
  /// @returns not_found  a pointer on the way is null; `address` is where that pointer lies
  /// Errors as VirtualMemory::read, with `address` where we read; `what` is given on.
  [[nodiscard]] Result<Gva> follow(const VirtualMemory& memory, Gva object, const char* what) const;
};

class MemberPath {
 public:
  /// @returns invalid      the text is not a path; the message points at the place
  /// @returns not_found    no such type or member: which step, and the nearest name
  /// @returns unsupported  more than Route::kMaxHops pointers, or an offset beyond 4 GiB
  /// The first name is a struct's, a union's, or a typedef of one; "struct" before it and
  /// "module:" before that may stand (TypeCatalogue). If several structs have that name,
  /// the first (of 16) along which the path exists.
  [[nodiscard]] static Outcome<MemberPath> compile(const TypeCatalogue& types,
                                                   std::string_view text);

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] btf::Type root() const noexcept { return root_; }  ///< what `object` must be
  [[nodiscard]] btf::Type type() const noexcept { return type_; }  ///< of the end, as declared
  [[nodiscard]] const Route& route() const noexcept { return route_; }

 private:
  std::string text_;
  btf::Type root_;
  btf::Type type_;
  Route route_;
};

/// Does `text` have the form of a path? Says nothing about the names in it.
[[nodiscard]] constexpr bool is_path(std::string_view text) noexcept {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  std::size_t at = 0;
  const auto word = [&] {
    const std::size_t from = at;
    while (at < text.size() && is_word(text[at])) ++at;
    return text.substr(from, at - from);
  };
  auto first = word();
  if (at < text.size() && text[at] == ':') {
    if (first.empty()) return false;
    ++at;
    first = word();
  }
  if (first == "struct" || first == "union") {
    if (at >= text.size() || text[at] != ' ') return false;
    ++at;
    first = word();
  }
  if (first.empty()) return false;
  while (at < text.size()) {
    if (text[at] == '[') {
      ++at;
      const auto digits = word();
      if (digits.empty() || digits.size() > 9) return false;
      for (const char c : digits) {
        if (c < '0' || c > '9') return false;
      }
      if (at >= text.size() || text[at] != ']') return false;
      ++at;
      continue;
    }
    if (text[at] == '.') {
      ++at;
    } else if (text.substr(at, 2) == "->") {
      at += 2;
    } else {
      return false;
    }
    if (word().empty()) return false;
  }
  return true;
}

/// A path that stands in the program's text: its form is checked by the compiler, and
/// as a literal it may be kept by pointer and named in an Error.
class PathName {
 public:
  consteval PathName(const char* text) : text_(text) {  // NOLINT(google-explicit-constructor)
    if (!is_path(text)) throw "not a path: TYPE.member->member[3]";
  }
  [[nodiscard]] constexpr const char* text() const noexcept { return text_; }

 private:
  const char* text_;
};

}  // namespace vitrine::linux
