// Moment: when something was written down, by clocks that cannot all jump at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine::evidence {

/// The wall clock says what people want to know and may be set; the monotonic clock cannot
/// be set, and counts from a boot that `boot` names. Both are kept: a wall clock that
/// jumped shows as a difference between the two.
struct Moment {
  std::int64_t wall_ns = 0;       ///< since 1970, CLOCK_REALTIME
  std::int64_t monotonic_ns = 0;  ///< since the host booted, sleep included: CLOCK_BOOTTIME
  std::array<std::byte, 16>
      boot{};  ///< /proc/sys/kernel/random/boot_id; zeros if it cannot be read

  bool operator==(const Moment&) const = default;
};

[[nodiscard]] std::array<std::byte, 16> boot_identity();
/// Of 32 hexadecimal digits; what lies between them is passed over.
[[nodiscard]] std::array<std::byte, 16> parse_boot(std::string_view text);
/// Cost: two clock reads. `boot` is asked for once by the caller: it cannot change.
[[nodiscard]] Moment now(const std::array<std::byte, 16>& boot);

/// "2026-11-25T19:05:28.123Z"
[[nodiscard]] std::string words(const Moment& moment);

}  // namespace vitrine::evidence
