// Addresses that the compiler keeps apart: guest-physical, guest-virtual, host-virtual.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace vitrine {

/// An address of one kind. Arithmetic wraps as the machine's does; whoever walks
/// hostile memory checks ranges, not addresses.
template <class Kind>
struct Address {
  std::uint64_t value = 0;

  constexpr auto operator<=>(const Address&) const = default;
  constexpr explicit operator bool() const { return value != 0; }
  constexpr Address operator+(std::uint64_t bytes) const { return {value + bytes}; }
  constexpr Address operator-(std::uint64_t bytes) const { return {value - bytes}; }
  constexpr std::uint64_t operator-(Address other) const { return value - other.value; }
  constexpr Address& operator+=(std::uint64_t bytes) {
    value += bytes;
    return *this;
  }
};

using Gpa = Address<struct GuestPhysical>;  ///< what the guest's page tables hold
using Gva = Address<struct GuestVirtual>;   ///< what the guest's pointers hold
using Hva = Address<struct HostVirtual>;    ///< in the QEMU process

struct GpaRange {
  Gpa start;
  std::uint64_t size = 0;  ///< bytes
  [[nodiscard]] constexpr Gpa end() const { return start + size; }
  [[nodiscard]] constexpr bool contains(Gpa at) const { return at - start < size; }
  constexpr bool operator==(const GpaRange&) const = default;
};

inline constexpr std::uint64_t kPageSize = 4096;
inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;

}  // namespace vitrine

template <class Kind>
struct std::hash<vitrine::Address<Kind>> {
  std::size_t operator()(vitrine::Address<Kind> address) const noexcept {
    return std::hash<std::uint64_t>{}(address.value);
  }
};
