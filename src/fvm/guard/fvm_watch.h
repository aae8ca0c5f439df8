// FvmWatch: is this FVM still what it was started as? Bytes and time in, messages and a
// verdict about the FVM itself out. No clock, no descriptor: tests drive it.
//
// A slow engine and a hung one look alike for a while. What tells them apart: all of an engine's
// work is cut into steps (a read of guest memory, a look at the control page), which heartbeats
// count, together with the CPU time that the engine's thread has used. No step takes long *of CPU
// time*, however busy the host is: one that does is an endless loop. A thread that neither steps
// nor uses CPU while the heart beats in time is blocked. An engine that steps has looked at the
// control page: if no answer came before the heartbeat that says so, none will.
// A busy host makes neither of them: time in which the kernel kept a thread of it waiting for a
// CPU (WaitAccount) counts neither as silence nor as stillness.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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
  Time step{75};             ///< CPU time of the engine in one step
  Time still{70};            ///< without a step and without CPU time
  Time canary_most{2'000};   ///< without an answer, whatever its heartbeats say
  Time first{1'000};         ///< until the first answer of a new assignment
  Time attach_most{60'000};  ///< in the phase of attaching without a break

  /// @param patience  1: as measured; more where several in a row were too slow: a host that
  ///   cannot do it any faster is no sign of an FVM's.
  [[nodiscard]] static WatchLimits of(Isolation isolation, bool emulated, unsigned patience = 1);
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
        attaching_since_(now),
        moved_(now) {}

  /// Takes what came over the channel; appends whole messages that count to `messages`.
  void take(Bytes bytes, Time now, std::vector<Message>& messages);
  /// Time passes.
  /// @param late    how late the caller itself was: it cannot have heard anything
  /// @param waited  how long the FVM was kept waiting since the last tick, so the kernel
  void tick(Time now, std::chrono::nanoseconds late, std::chrono::nanoseconds waited = {});
  /// It has been silent, or still, for longer than it should: what the kernel says of it is asked.
  [[nodiscard]] bool is_late(Time now) const;

  /// Whether a new challenge is due; then plant() what was planted.
  [[nodiscard]] bool wants_canary(Time now) const {
    return !planted_ && now - planted_at_ >= limits_.canary_every;
  }
  void plant(const Orders& orders, std::span<const std::byte> area, Time now);

  /// What is wrong with it; stays.
  [[nodiscard]] std::optional<Cause> bad() const noexcept { return bad_; }
  /// What it was seen by, for the log; empty where the cause says it all.
  [[nodiscard]] const std::string& detail() const noexcept { return detail_; }
  [[nodiscard]] Time last_good() const noexcept { return last_good_; }
  /// It has answered a challenge for this assignment.
  [[nodiscard]] bool watching() const noexcept { return watching_; }
  [[nodiscard]] const Heartbeat& heartbeat() const noexcept { return heartbeat_; }
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
  /// The longest time between two heartbeats of one that watches, whatever the reason.
  [[nodiscard]] std::chrono::nanoseconds longest_silence() const noexcept {
    return longest_silence_;
  }
  /// All that it was kept waiting and was excused for.
  [[nodiscard]] std::chrono::nanoseconds kept_waiting() const noexcept { return kept_waiting_; }

 private:
  void condemn(Cause cause, std::string_view what = {}, std::chrono::nanoseconds time = {});
  void check(const Heartbeat& heartbeat, Time now);
  void check(const CanaryAnswer& answer, std::uint64_t generation, Time now);

  std::uint64_t generation_;
  WatchLimits limits_;
  RateLimit rate_;
  Assembler assembler_;
  std::vector<std::byte> rest_;  ///< less than a frame
  Time employed_, beat_, attaching_since_, moved_, planted_at_{}, last_good_{};
  Time heard_{};  ///< its last heartbeat
  std::chrono::nanoseconds longest_silence_{}, kept_waiting_{};
  std::optional<symptom::Finding> planted_;  ///< the answer that must come
  std::uint64_t planted_round_ = 0;
  unsigned beats_since_planted_ = 0;
  std::uint64_t progress_when_planted_ = 0;  ///< by a heartbeat that was sent after it for sure
  Heartbeat heartbeat_;
  std::uint64_t stepped_ns_ = 0;  ///< the engine's CPU time at its last step
  std::uint64_t moved_ns_ = 0;    ///< and when it was last seen to move at all
  bool watching_ = false;
  std::optional<Cause> bad_;
  std::string detail_;
  std::uint64_t refused_ = 0;
};

}  // namespace vitrine::fvm
