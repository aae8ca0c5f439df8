// How the bytes of a guest's scalar become a value of the view's type: what Field and ArrayField
// are made of. Not to be used by itself.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "base/address.h"
#include "base/problem.h"
#include "base/result.h"
#include "linux/type_path.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

template <class T>
concept FieldScalar = std::integral<T> || std::is_enum_v<T> || std::same_as<T, Gva>;

namespace detail {

/// How a scalar's bytes become a value.
struct Scalar {
  std::uint8_t bytes = 0;
  std::uint8_t shift = 0;
  std::uint8_t bits = 0;
  bool is_signed = false;

  /// `from` holds at least `bytes` bytes.
  [[nodiscard]] std::uint64_t extract(const std::byte* from) const noexcept {
    std::uint64_t raw = 0;
    switch (bytes) {
      case 1:
        raw = std::to_integer<std::uint64_t>(*from);
        break;
      case 2: {
        std::uint16_t v;
        std::memcpy(&v, from, sizeof v);
        raw = v;
        break;
      }
      case 4: {
        std::uint32_t v;
        std::memcpy(&v, from, sizeof v);
        raw = v;
        break;
      }
      case 8:
        std::memcpy(&raw, from, 8);
        break;
      default:
        std::memcpy(&raw, from, bytes);
        break;
    }
    raw <<= 64 - bits - shift;
    return is_signed ? static_cast<std::uint64_t>(static_cast<std::int64_t>(raw) >> (64 - bits))
                     : raw >> (64 - bits);
  }
};

enum class Wanted : std::uint8_t { integer, boolean, address };

struct Need {
  Wanted wanted;
  std::uint8_t size;  // of T, bytes
  bool is_signed;
  const char* cpp;  // for messages
};

template <FieldScalar T>
[[nodiscard]] constexpr Need need_of() {
  if constexpr (std::same_as<T, Gva>) {
    return {Wanted::address, 8, false, "an address"};
  } else if constexpr (std::same_as<T, bool>) {
    return {Wanted::boolean, 1, false, "a bool"};
  } else {
    constexpr bool is_signed = [] {
      if constexpr (std::is_enum_v<T>)
        return std::is_signed_v<std::underlying_type_t<T>>;
      else
        return std::is_signed_v<T>;
    }();
    constexpr const char* kSigned[] = {"int8_t", "int16_t", "int32_t", "int64_t"};
    constexpr const char* kUnsigned[] = {"uint8_t", "uint16_t", "uint32_t", "uint64_t"};
    constexpr int index = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return {Wanted::integer, sizeof(T), is_signed, is_signed ? kSigned[index] : kUnsigned[index]};
  }
}

template <FieldScalar T>
[[nodiscard]] constexpr T value_as(std::uint64_t value) noexcept {
  if constexpr (std::same_as<T, Gva>)
    return Gva{value};
  else if constexpr (std::same_as<T, bool>)
    return value != 0;
  else
    return static_cast<T>(value);
}

/// How to read a value of `type` (a bit field if the route says so) for that need.
[[nodiscard]] Outcome<Scalar> fit(const btf::Type& type, const Route& route, const Need& need,
                                  std::string_view path);
[[nodiscard]] Result<std::uint64_t> read_scalar(const VirtualMemory& memory, Gva from,
                                                Scalar scalar, const char* what);
}  // namespace detail

}  // namespace vitrine::linux
