#include "cli/hex_dump.h"

#include <fmt/format.h>

#include <iterator>

namespace vitrine::cli {

std::string hex_line(std::uint64_t address, Bytes bytes, std::span<const bool> readable) {
  std::string line = fmt::format("{:016x} ", address);
  std::string text;
  for (std::size_t i = 0; i < kBytesPerLine; ++i) {
    if (i % 8 == 0) line += ' ';
    if (i >= bytes.size()) {
      line += "   ";
      continue;
    }
    const auto byte = std::to_integer<unsigned>(bytes[i]);
    if (readable[i]) {
      fmt::format_to(std::back_inserter(line), "{:02x} ", byte);
      text += byte >= 0x20 && byte < 0x7F ? static_cast<char>(byte) : '.';
    } else {
      line += "?? ";
      text += ' ';
    }
  }
  return fmt::format("{} |{}|", line, text);
}

}  // namespace vitrine::cli
