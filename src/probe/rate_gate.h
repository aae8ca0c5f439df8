// RateGate: how often a probe may fire before it would drown its guest.
//
// A bucket of firings that fills at `rate`: a burst passes whole, a flood does not.
#pragma once

#include <algorithm>
#include <cstdint>

namespace vitrine::probe {

struct RateLimit {
  double rate = 0;   ///< firings a second in the long run; 0: no limit
  double burst = 0;  ///< firings at once
  bool operator==(const RateLimit&) const = default;

  /// What a user says: so many a second, and at once as many as come in two seconds.
  [[nodiscard]] static RateLimit of(std::uint64_t rate) {
    return {static_cast<double>(rate), 2 * static_cast<double>(rate)};
  }
};

class RateGate {
 public:
  explicit RateGate(RateLimit limit, std::uint64_t now_ns)
      : limit_(limit), left_(limit.burst), last_ns_(now_ns) {}

  /// Takes one firing. @returns false  too many: the caller thins
  [[nodiscard]] bool admit(std::uint64_t now_ns) {
    if (limit_.rate <= 0) return true;
    fill(now_ns);
    if (left_ < 1) {
      ++refused_;
      return false;
    }
    left_ -= 1;
    return true;
  }
  /// Room enough to begin again after a refusal: a quarter of the burst.
  [[nodiscard]] bool rested(std::uint64_t now_ns) {
    fill(now_ns);
    return limit_.rate <= 0 || left_ >= std::max(1.0, limit_.burst / 4);
  }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  void fill(std::uint64_t now_ns) {
    if (now_ns <= last_ns_) return;
    left_ =
        std::min(limit_.burst, left_ + static_cast<double>(now_ns - last_ns_) * 1e-9 * limit_.rate);
    last_ns_ = now_ns;
  }
  RateLimit limit_;
  double left_;
  std::uint64_t last_ns_;
  std::uint64_t refused_ = 0;
};

}  // namespace vitrine::probe
