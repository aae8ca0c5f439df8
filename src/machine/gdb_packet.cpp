#include "machine/gdb_packet.h"

#include <fmt/format.h>

#include <charconv>

namespace vitrine {
namespace {

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Escapes resolved, runs written out; nothing if they make no sense or too much.
std::optional<std::string> plain(std::string_view raw) {
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '}') {
      if (++i == raw.size()) return std::nullopt;
      out += static_cast<char>(raw[i] ^ 0x20);
    } else if (raw[i] == '*') {
      if (++i == raw.size() || out.empty()) return std::nullopt;
      const int count = static_cast<unsigned char>(raw[i]) - 29;
      if (count < 3 || count > 97) return std::nullopt;
      out.append(static_cast<std::size_t>(count), out.back());
    } else {
      out += raw[i];
    }
    if (out.size() > GdbFrames::kLongest) return std::nullopt;
  }
  return out;
}

std::optional<std::uint64_t> hex_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_thread(std::string_view text) {
  if (text.empty() || text.size() > 40) return false;
  for (const char c : text) {
    if (nibble(c) < 0 && c != 'p' && c != '.') return false;
  }
  return true;
}

}  // namespace

std::string gdb_frame(std::string_view text) {
  std::string out = "$";
  unsigned sum = 0;
  const auto put = [&](char c) {
    out += c;
    sum += static_cast<unsigned char>(c);
  };
  for (const char c : text) {
    if (c == '$' || c == '#' || c == '}' || c == '*') {
      put('}');
      put(static_cast<char>(c ^ 0x20));
    } else {
      put(c);
    }
  }
  return out + fmt::format("#{:02x}", sum & 0xff);
}

Result<std::optional<std::string>> GdbFrames::next() {
  while (true) {
    const auto start = buffer_.find('$');
    if (start == std::string::npos) {
      buffer_.clear();
      return std::optional<std::string>{};
    }
    buffer_.erase(0, start);
    const auto end = buffer_.find('#');
    if (end == std::string::npos || buffer_.size() - end < 3) {
      if (buffer_.size() > kLongest) return fail(Errc::too_large, buffer_.size(), "gdb packet");
      return std::optional<std::string>{};
    }
    const auto raw = buffer_.substr(1, end - 1);
    const int high = nibble(buffer_[end + 1]), low = nibble(buffer_[end + 2]);
    buffer_.erase(0, end + 3);
    unsigned sum = 0;
    for (const char c : raw) sum += static_cast<unsigned char>(c);
    auto text = high >= 0 && low >= 0 && (sum & 0xff) == static_cast<unsigned>(high * 16 + low)
                    ? plain(raw)
                    : std::nullopt;
    if (text) return text;
    ++damaged_;
  }
}

std::optional<GdbStop> parse_gdb_stop(std::string_view text) {
  if (text.size() < 3) return std::nullopt;
  const int high = nibble(text[1]), low = nibble(text[2]);
  if (high < 0 || low < 0) return std::nullopt;
  GdbStop stop;
  stop.signal = high * 16 + low;
  if (text[0] == 'W' || text[0] == 'X') {
    stop.kind = GdbStop::exited;
    return stop;
  }
  if (text[0] == 'S') return stop;
  if (text[0] != 'T') return std::nullopt;
  text.remove_prefix(3);
  while (!text.empty()) {
    const auto end = std::min(text.find(';'), text.size());
    const auto pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto colon = pair.find(':');
    if (colon == std::string_view::npos) continue;
    const auto key = pair.substr(0, colon), value = pair.substr(colon + 1);
    if (key == "thread" && is_thread(value)) stop.thread = value;
    if (key == "watch" || key == "rwatch" || key == "awatch") {
      stop.watched = hex_number(value);
      stop.access = key == "watch"    ? GdbStop::write
                    : key == "rwatch" ? GdbStop::read
                                      : GdbStop::both;
    }
  }
  return stop;
}

std::optional<GdbThreads> parse_gdb_threads(std::string_view text) {
  GdbThreads threads;
  if (text == "l") {
    threads.last = true;
    return threads;
  }
  if (!text.starts_with('m')) return std::nullopt;
  text.remove_prefix(1);
  while (!text.empty() && threads.ids.size() < 4096) {
    const auto end = std::min(text.find(','), text.size());
    if (!is_thread(text.substr(0, end))) return std::nullopt;
    threads.ids.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return threads;
}

std::optional<std::vector<std::byte>> gdb_bytes(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::vector<std::byte> out;
  out.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = nibble(hex[i]), low = nibble(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return out;
}

std::string gdb_hex(Bytes bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const auto byte : bytes) {
    out += kDigits[static_cast<unsigned>(byte) >> 4];
    out += kDigits[static_cast<unsigned>(byte) & 15];
  }
  return out;
}

std::optional<GdbPiece> parse_gdb_piece(std::string_view text) {
  if (!text.starts_with('m') && !text.starts_with('l')) return std::nullopt;
  return GdbPiece{text.substr(1), text[0] == 'l'};
}

}  // namespace vitrine
