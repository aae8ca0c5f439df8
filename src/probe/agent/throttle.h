// Throttle: one probe on one virtual CPU, and how much of it that CPU's guest can bear.
//
// Two limits, by the second. A user's: so many firings. Where the user says nothing: half of the
// CPU's time. What comes beyond is not run until the second is over, and counted. The time that
// firings take is measured of every 128th while they are short, of each when they are long.
#pragma once

#include <cstdint>

namespace vitrine::probe {

class Throttle {
 public:
  static constexpr std::uint64_t kNever = 0;       ///< as a limit: none
  static constexpr std::uint64_t kByTime = ~0ULL;  ///< as a limit: half of the CPU's time
  static constexpr std::uint64_t kTimeNs = 500'000'000;
  static constexpr std::uint32_t kEach = 128;
  static constexpr std::uint64_t kLongNs = 4'000;

  /// One firing more, in that second of any clock. @returns false  too many: it is not run
  [[nodiscard]] bool admit(std::uint64_t limit, std::uint64_t second) noexcept {
    if (second != second_) {
      second_ = second;
      count_ = used_ns_ = 0;
    }
    ++count_;
    return limit == kByTime ? used_ns_ < kTimeNs : count_ <= limit;
  }
  /// Whether the firing that was just let in is to be measured.
  [[nodiscard]] bool measures() const noexcept { return last_ns_ > kLongNs || count_ % kEach == 1; }
  /// What a measured one took.
  void took(std::uint64_t ns) noexcept {
    // The first of a second stands for itself: that it is one of many is not known yet. So does
    // a long one among short ones: more often than not its thread had to wait for a core.
    used_ns_ += last_ns_ > kLongNs || ns > kLongNs || count_ == 1 ? ns : ns * kEach;
    last_ns_ = ns;
  }

 private:
  std::uint64_t second_ = ~0ULL, count_ = 0, used_ns_ = 0, last_ns_ = 0;
};

}  // namespace vitrine::probe
