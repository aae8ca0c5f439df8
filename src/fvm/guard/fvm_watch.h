// FvmWatch: is this FVM still what it was started as? Bytes and time in, messages and a
// verdict about the FVM itself out. No clock, no descriptor: tests drive it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "fvm/control_page.h"
#include "fvm/messages.h"
#include "fvm/verdict/message.h"
#include "fvm/verdict/rate_limit.h"

namespace vitrine::fvm {

struct WatchLimits {
  using Time = std::chrono::milliseconds;
  Time silent{80};           ///< without a heartbeat
  Time canary_every{25};     ///< between challenges
  Time canary_late{70};      ///< without an answer, while it watches
  Time scan_late{1'000};     ///< the same during a pass: not all of its work reads memory
  Time attach_late{10'000};  ///< the same while it looks for a kernel: decoding one is long work
  Time first{1'000};         ///< until the first answer of a new assignment
  Time attach_most{60'000};  ///< in the phase of attaching without a break

  [[nodiscard]] static WatchLimits of(Isolation isolation, bool emulated);
};

class FvmWatch {
 public:
  using Time = std::chrono::steady_clock::time_point;

  FvmWatch(std::uint64_t generation, WatchLimits limits, Time now)
      : generation_(generation),
        limits_(limits),
        rate_(kFramesPerSecond, kFramesBurst, now),
        employed_(now),
        beat_(now),
        answered_(now),
        attaching_since_(now) {}

  /// Takes what came over the channel; appends whole messages that count to `messages`.
  void take(Bytes bytes, Time now, std::vector<Message>& messages);
  /// Time passes. @param late  how late the caller itself was: it cannot have heard anything.
  void tick(Time now, std::chrono::nanoseconds late);

  /// Whether a new challenge is due; then plant() what was planted.
  [[nodiscard]] bool wants_canary(Time now) const {
    return !planted_ && now - planted_at_ >= limits_.canary_every;
  }
  void plant(const Orders& orders, std::span<const std::byte> area, Time now);

  /// What is wrong with it; stays.
  [[nodiscard]] std::optional<Cause> bad() const noexcept { return bad_; }
  [[nodiscard]] Time last_good() const noexcept { return last_good_; }
  /// It has answered a challenge for this assignment.
  [[nodiscard]] bool watching() const noexcept { return watching_; }
  [[nodiscard]] const Heartbeat& heartbeat() const noexcept { return heartbeat_; }
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }

 private:
  void condemn(Cause cause);
  void check(const Heartbeat& heartbeat, Time now);
  void check(const CanaryAnswer& answer, std::uint64_t generation, Time now);

  std::uint64_t generation_;
  WatchLimits limits_;
  RateLimit rate_;
  Assembler assembler_;
  std::vector<std::byte> rest_;  ///< less than a frame
  Time employed_, beat_, answered_, attaching_since_, planted_at_{}, last_good_{};
  std::optional<symptom::Finding> planted_;  ///< the answer that must come
  std::uint64_t planted_round_ = 0;
  Heartbeat heartbeat_;
  bool watching_ = false;
  std::optional<Cause> bad_;
  std::uint64_t refused_ = 0;
};

}  // namespace vitrine::fvm
