#include "format/pcapng.h"

#include <cstring>

namespace vitrine::format {
namespace {

enum Block : std::uint32_t { kInterface = 1, kStatistics = 5, kPacket = 6, kSection = 0x0a0d0d0a };

template <class T>
void put(std::string& into, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  into.append(bytes, sizeof value);
}

void pad(std::string& into) { into.append((4 - into.size() % 4) % 4, '\0'); }

void option(std::string& into, std::uint16_t code, std::string_view value) {
  if (value.empty()) return;
  value = value.substr(0, 0xfff0);
  put(into, code);
  put(into, static_cast<std::uint16_t>(value.size()));
  into += value;
  pad(into);
}

std::string_view view(const std::uint64_t& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string block(Block type, std::string_view body) {
  std::string out;
  const auto length = static_cast<std::uint32_t>(body.size() + 12);
  put(out, static_cast<std::uint32_t>(type));
  put(out, length);
  out += body;
  put(out, length);
  return out;
}

}  // namespace

std::string pcapng_header(std::string_view application, std::string_view hardware) {
  std::string body;
  put(body, std::uint32_t{0x1a2b3c4d});
  put(body, std::uint16_t{1});
  put(body, std::uint16_t{0});
  put(body, std::int64_t{-1});  // the section's length: not known
  option(body, 2, hardware);
  option(body, 4, application);
  put(body, std::uint32_t{0});
  return block(kSection, body);
}

std::string pcapng_interface(const PcapngInterface& interface) {
  std::string body;
  put(body, interface.link_type);
  put(body, std::uint16_t{0});
  put(body, interface.snap_length);
  option(body, 2, interface.name);
  option(body, 3, interface.description);
  option(body, 9, std::string_view("\x09", 1));  // times in units of 10^-9 s
  put(body, std::uint32_t{0});
  return block(kInterface, body);
}

std::string pcapng_packet(std::uint32_t interface, std::uint64_t time_ns, Bytes bytes,
                          std::uint32_t length) {
  std::string body;
  put(body, interface);
  put(body, static_cast<std::uint32_t>(time_ns >> 32));
  put(body, static_cast<std::uint32_t>(time_ns));
  put(body, static_cast<std::uint32_t>(bytes.size()));
  put(body, std::max(length, static_cast<std::uint32_t>(bytes.size())));
  body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  pad(body);
  return block(kPacket, body);
}

std::string pcapng_statistics(std::uint32_t interface, std::uint64_t time_ns,
                              std::uint64_t received, std::uint64_t dropped) {
  std::string body;
  put(body, interface);
  put(body, static_cast<std::uint32_t>(time_ns >> 32));
  put(body, static_cast<std::uint32_t>(time_ns));
  option(body, 4, view(received));
  option(body, 5, view(dropped));
  put(body, std::uint32_t{0});
  return block(kStatistics, body);
}

}  // namespace vitrine::format
