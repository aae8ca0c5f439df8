// Network addresses as text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vitrine::linux::net {

/// 4 bytes as the packet has them: "10.0.0.1". A kernel's __be32 read as a
/// little-endian number has the first byte lowest.
[[nodiscard]] std::string ipv4_text(std::uint32_t big_endian);

/// 16 bytes as the packet has them: "fe80::1", "::ffff:10.0.0.1" (RFC 5952).
[[nodiscard]] std::string ipv6_text(const std::array<std::uint8_t, 16>& address);

/// "10.0.0.1:22", "[::1]:80"; a port of 0 is any: "0.0.0.0:*".
[[nodiscard]] std::string endpoint_text(std::string_view address, std::uint16_t port);

/// "52:54:00:12:34:56". Empty for no bytes.
[[nodiscard]] std::string hardware_address_text(std::span<const std::uint8_t> address);

/// A __be16 read as a little-endian number, as the number it means.
[[nodiscard]] constexpr std::uint16_t from_big_endian(std::uint16_t value) {
  return static_cast<std::uint16_t>(value >> 8 | value << 8);
}

/// The name in the sockaddr_un of `size` bytes (with its two bytes of family) that a
/// unix socket was bound to: a path up to its NUL; an abstract name with '@' for the
/// first NUL, and with its further bytes as they are (/proc/net/unix shows '@' for each NUL).
[[nodiscard]] std::string unix_name(std::string_view sun_path);

}  // namespace vitrine::linux::net
