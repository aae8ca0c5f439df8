#include "linux/net/address.h"

#include <arpa/inet.h>
#include <fmt/core.h>

namespace vitrine::linux::net {

std::string ipv4_text(std::uint32_t big_endian) {
  return fmt::format("{}.{}.{}.{}", big_endian & 255, big_endian >> 8 & 255, big_endian >> 16 & 255,
                     big_endian >> 24);
}

std::string ipv6_text(const std::array<std::uint8_t, 16>& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (inet_ntop(AF_INET6, address.data(), text.data(), text.size()) == nullptr) return {};
  return text.data();
}

std::string endpoint_text(std::string_view address, std::uint16_t port) {
  const bool brackets = address.find(':') != std::string_view::npos;
  std::string text;
  if (brackets) text += '[';
  text += address;
  if (brackets) text += ']';
  text += ':';
  text += port == 0 ? "*" : std::to_string(port);
  return text;
}

std::string hardware_address_text(std::span<const std::uint8_t> address) {
  std::string text;
  for (const auto byte : address) {
    if (!text.empty()) text += ':';
    text += fmt::format("{:02x}", byte);
  }
  return text;
}

std::string unix_name(std::string_view sun_path) {
  if (sun_path.empty()) return {};
  if (sun_path.front() == '\0') {
    std::string name = "@";
    name += sun_path.substr(1);
    return name;
  }
  return std::string(sun_path.substr(0, sun_path.find('\0')));
}

}  // namespace vitrine::linux::net
