#include "symptom/json_text.h"

#include <fmt/format.h>

#include <ctime>

#include "vmipl/source.h"

namespace vitrine::symptom {

bool append_json_text(std::string& out, std::string_view text) {
  bool valid = true;
  for (std::string_view rest = text; !rest.empty();) {
    const auto character = vmipl::decode_utf8(rest);
    valid = valid && character.valid;
    rest.remove_prefix(character.bytes);
  }
  out += '"';
  for (std::string_view rest = text; !rest.empty();) {
    const auto character = vmipl::decode_utf8(rest);
    const auto bytes = rest.substr(0, character.bytes);
    rest.remove_prefix(character.bytes);
    if (!character.valid) {
      for (const char byte : bytes)
        out += fmt::format("\\\\x{:02x}", static_cast<unsigned char>(byte));
      continue;
    }
    const auto code = static_cast<std::uint32_t>(character.code);
    if (code == '"') {
      out += "\\\"";
    } else if (code == '\\') {
      out += valid ? "\\\\" : "\\\\\\\\";
    } else if (code >= 0x20 && code < 0x7f) {
      out += static_cast<char>(code);
    } else if (code < 0x10000) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((code - 0x10000) >> 10),
                         0xdc00 + ((code - 0x10000) & 0x3ff));
    }
  }
  out += '"';
  return valid;
}

std::string json_time(std::int64_t nanoseconds) {
  const std::int64_t second = 1'000'000'000;
  auto seconds = static_cast<std::time_t>(nanoseconds / second);
  auto rest = nanoseconds % second;
  if (rest < 0) {
    rest += second;
    --seconds;
  }
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     rest);
}

}  // namespace vitrine::symptom
