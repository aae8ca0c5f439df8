// RateLimit: how many frames an FVM may send.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace vitrine::fvm {

/// A bucket of `burst` tokens that fills at `per_second`.
class RateLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;

  RateLimit(std::uint64_t per_second, std::uint64_t burst, Time now)
      : per_second_(static_cast<double>(per_second)),
        burst_(static_cast<double>(burst)),
        tokens_(burst_),
        filled_(now) {}

  /// @returns false  more than its share: this one is too many.
  [[nodiscard]] bool take(Time now) {
    const std::chrono::duration<double> passed = now - filled_;
    filled_ = now;
    tokens_ = std::min(burst_, tokens_ + std::max(0.0, passed.count()) * per_second_);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double per_second_, burst_, tokens_;
  Time filled_;
};

/// What a guard allows. A heartbeat every 20 ms is 50 a second; the largest finding is 139
/// frames, an FVM that has just taken over sends all that stands at once.
inline constexpr std::uint64_t kFramesPerSecond = 2'000;
inline constexpr std::uint64_t kFramesBurst = 20'000;

}  // namespace vitrine::fvm
