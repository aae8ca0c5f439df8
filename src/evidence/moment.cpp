#include "evidence/moment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>

namespace vitrine::evidence {
namespace {

std::int64_t read_clock(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

int digit(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  return -1;
}

}  // namespace

std::array<std::byte, 16> boot_identity() {
  const int file = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  std::array<char, 64> text{};
  const auto size = ::read(file, text.data(), text.size());
  ::close(file);
  return parse_boot({text.data(), static_cast<std::size_t>(size > 0 ? size : 0)});
}

std::array<std::byte, 16> parse_boot(std::string_view text) {
  std::array<std::byte, 16> identity{};
  unsigned nibbles = 0;
  for (const char letter : text) {
    const int value = digit(letter);
    if (value < 0 || nibbles >= 32) continue;
    auto& byte = identity[nibbles / 2];
    byte = (byte << 4) | static_cast<std::byte>(value);
    ++nibbles;
  }
  return identity;
}

Moment now(const std::array<std::byte, 16>& boot) {
  return {.wall_ns = read_clock(CLOCK_REALTIME),
          .monotonic_ns = read_clock(CLOCK_BOOTTIME),
          .boot = boot};
}

std::string words(const Moment& moment) {
  const std::time_t seconds = moment.wall_ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     (moment.wall_ns / 1'000'000) % 1000);
}

}  // namespace vitrine::evidence
