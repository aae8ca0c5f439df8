// Assembles BTF blobs by hand, for tests: every kind, well-formed or not.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace vitrine::test {

/// Each add_...() gives the new type's number. Nothing is checked: a test may well want
/// a reference to nowhere.
class BtfBuilder {
 public:
  struct Member {
    std::string_view name;
    std::uint32_t type;
    std::uint32_t bit_offset;
    std::uint32_t bit_width = 0;
  };
  struct Constant {
    std::string_view name;
    std::int64_t value;
  };
  struct Argument {
    std::string_view name;
    std::uint32_t type;
  };
  struct Place {
    std::uint32_t variable, offset, size;
  };

  BtfBuilder() : strings_(1, '\0') {}
  /// One that goes on where `base` ends: split BTF.
  [[nodiscard]] static BtfBuilder upon(const BtfBuilder& base) {
    BtfBuilder split;
    split.strings_.clear();
    split.next_ = base.next_;
    split.first_string_ = base.first_string_ + static_cast<std::uint32_t>(base.strings_.size());
    return split;
  }

  std::uint32_t integer(std::string_view name, std::uint32_t size, bool is_signed = false,
                        std::uint32_t bits = 0, std::uint32_t offset = 0) {
    const auto id = entry(name, 1, 0, false, size);
    word((is_signed ? 1u << 24 : 0) | offset << 16 | (bits == 0 ? size * 8 : bits));
    return id;
  }
  std::uint32_t boolean(std::string_view name = "_Bool") {
    const auto id = entry(name, 1, 0, false, 1);
    word(4u << 24 | 8);
    return id;
  }
  std::uint32_t pointer(std::uint32_t to) { return entry("", 2, 0, false, to); }
  std::uint32_t array(std::uint32_t of, std::uint32_t count, std::uint32_t index = 1) {
    const auto id = entry("", 3, 0, false, 0);
    word(of);
    word(index);
    word(count);
    return id;
  }
  /// With bit fields among them (a width other than 0), offsets are encoded the new way.
  std::uint32_t structure(std::string_view name, std::uint32_t size,
                          std::initializer_list<Member> members, std::uint32_t kind = 4) {
    bool fields = false;
    for (const Member& each : members) fields = fields || each.bit_width != 0;
    const auto id = entry(name, kind, members.size(), fields, size);
    for (const Member& each : members) {
      word(string(each.name));
      word(each.type);
      word(fields ? each.bit_width << 24 | each.bit_offset : each.bit_offset);
    }
    return id;
  }
  std::uint32_t union_of(std::string_view name, std::uint32_t size,
                         std::initializer_list<Member> members) {
    return structure(name, size, members, 5);
  }
  std::uint32_t enumeration(std::string_view name, std::initializer_list<Constant> constants,
                            bool is_signed = false, std::uint32_t size = 4) {
    const auto id = entry(name, 6, constants.size(), is_signed, size);
    for (const Constant& each : constants) {
      word(string(each.name));
      word(static_cast<std::uint32_t>(each.value));
    }
    return id;
  }
  std::uint32_t enumeration64(std::string_view name, std::initializer_list<Constant> constants,
                              bool is_signed = false) {
    const auto id = entry(name, 19, constants.size(), is_signed, 8);
    for (const Constant& each : constants) {
      word(string(each.name));
      word(static_cast<std::uint32_t>(each.value));
      word(static_cast<std::uint32_t>(static_cast<std::uint64_t>(each.value) >> 32));
    }
    return id;
  }
  std::uint32_t forward(std::string_view name, bool is_union = false) {
    return entry(name, 7, 0, is_union, 0);
  }
  std::uint32_t type_definition(std::string_view name, std::uint32_t to) {
    return entry(name, 8, 0, false, to);
  }
  std::uint32_t volatile_of(std::uint32_t to) { return entry("", 9, 0, false, to); }
  std::uint32_t const_of(std::uint32_t to) { return entry("", 10, 0, false, to); }
  std::uint32_t restrict_of(std::uint32_t to) { return entry("", 11, 0, false, to); }
  std::uint32_t function(std::string_view name, std::uint32_t prototype,
                         std::uint32_t linkage = 0) {
    return entry(name, 12, linkage, false, prototype);
  }
  std::uint32_t prototype(std::uint32_t returns, std::initializer_list<Argument> arguments) {
    const auto id = entry("", 13, arguments.size(), false, returns);
    for (const Argument& each : arguments) {
      word(string(each.name));
      word(each.type);
    }
    return id;
  }
  std::uint32_t variable(std::string_view name, std::uint32_t type, std::uint32_t linkage = 1) {
    const auto id = entry(name, 14, 0, false, type);
    word(linkage);
    return id;
  }
  std::uint32_t section(std::string_view name, std::uint32_t size,
                        std::initializer_list<Place> places) {
    const auto id = entry(name, 15, places.size(), false, size);
    for (const Place& each : places) {
      word(each.variable);
      word(each.offset);
      word(each.size);
    }
    return id;
  }
  std::uint32_t floating(std::string_view name, std::uint32_t size) {
    return entry(name, 16, 0, false, size);
  }
  std::uint32_t declaration_tag(std::string_view name, std::uint32_t of,
                                std::int32_t component = -1) {
    const auto id = entry(name, 17, 0, false, of);
    word(static_cast<std::uint32_t>(component));
    return id;
  }
  std::uint32_t type_tag(std::string_view name, std::uint32_t to) {
    return entry(name, 18, 0, false, to);
  }

  /// An entry of any kind; `extra` follows it.
  std::uint32_t raw(std::string_view name, std::uint32_t kind, std::uint32_t count,
                    std::initializer_list<std::uint32_t> extra = {},
                    std::uint32_t size_or_type = 0) {
    const auto id = entry(name, kind, count, false, size_or_type);
    for (const auto each : extra) word(each);
    return id;
  }
  /// Says how long entries of each kind are, from kind 0 on: {fixed, each element}.
  void layout(std::initializer_list<std::pair<std::uint8_t, std::uint8_t>> sizes) {
    for (const auto& [fixed, each] : sizes) {
      layout_.push_back(std::byte{fixed});
      layout_.push_back(std::byte{each});
      layout_.insert(layout_.end(), 2, std::byte{0});
    }
  }
  /// The number that the next type gets: to refer to it before it is there.
  [[nodiscard]] std::uint32_t next() const { return next_; }

  [[nodiscard]] std::vector<std::byte> build() const {
    std::vector<std::byte> blob;
    const auto put = [&](auto value) {
      const auto at = blob.size();
      blob.resize(at + sizeof value);
      std::memcpy(blob.data() + at, &value, sizeof value);
    };
    const auto types = static_cast<std::uint32_t>(types_.size());
    const auto strings = static_cast<std::uint32_t>(strings_.size());
    put(std::uint16_t{0xeb9f});
    put(std::uint8_t{1});
    put(std::uint8_t{0});
    put(layout_.empty() ? 24u : 32u);
    put(0u);
    put(types);
    put(types);
    put(strings);
    if (!layout_.empty()) {
      put(types + strings);
      put(static_cast<std::uint32_t>(layout_.size()));
    }
    blob.insert(blob.end(), types_.begin(), types_.end());
    for (const char each : strings_) blob.push_back(static_cast<std::byte>(each));
    blob.insert(blob.end(), layout_.begin(), layout_.end());
    return blob;
  }

 private:
  void word(std::uint32_t value) {
    const auto bytes = std::as_bytes(std::span<const std::uint32_t, 1>(&value, 1));
    types_.insert(types_.end(), bytes.begin(), bytes.end());
  }
  std::uint32_t string(std::string_view text) {
    if (text.empty()) return 0;
    const auto at = first_string_ + static_cast<std::uint32_t>(strings_.size());
    strings_ += text;
    strings_ += '\0';
    return at;
  }
  std::uint32_t entry(std::string_view name, std::uint32_t kind, std::size_t count, bool flag,
                      std::uint32_t size_or_type) {
    word(string(name));
    word((flag ? 1u << 31 : 0) | kind << 24 | static_cast<std::uint32_t>(count));
    word(size_or_type);
    return next_++;
  }

  std::vector<std::byte> types_;
  std::string strings_;
  std::vector<std::byte> layout_;
  std::uint32_t next_ = 1;
  std::uint32_t first_string_ = 0;
};

}  // namespace vitrine::test
