// How an entry of a BTF blob is laid out: what both sides, the blob and its types, read it by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "format/btf.h"

namespace vitrine::btf {

/// Kinds that are known: a larger number is passed over where the blob says its shape.
inline constexpr std::uint32_t kKinds = 20;

inline std::uint32_t load32(const std::byte* at) noexcept {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The info word: until Linux 7.1 bits 15:0 were the count and 28:24 the kind, and the
// bits between had to be 0; so one reading serves both.
constexpr std::uint32_t count_of(std::uint32_t info) noexcept { return info & 0xffffff; }
constexpr std::uint32_t kind_of(std::uint32_t info) noexcept { return info >> 24 & 0x7f; }
constexpr bool flag_of(std::uint32_t info) noexcept { return info >> 31 != 0; }

constexpr bool modifies(std::uint32_t kind) noexcept {
  switch (static_cast<Kind>(kind)) {
    case Kind::type_definition:
    case Kind::volatile_qualifier:
    case Kind::const_qualifier:
    case Kind::restrict_qualifier:
    case Kind::type_tag:
      return true;
    default:
      return false;
  }
}

}  // namespace vitrine::btf
