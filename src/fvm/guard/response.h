// Response: what a guard can do to its one guest, over QMP.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fvm/guard/policy.h"
#include "machine/qmp.h"

namespace vitrine::fvm {

/// Bits of what is done to the guest now.
inline constexpr std::uint32_t kFrozen = 1, kThrottled = 2, kIsolated = 4, kSnapshotting = 8,
                               kStopped = 16;

class Response {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// @param snapshots  the folder for memory images: one a minute at most, and as long as there
  ///   is room left for evidence.
  Response(std::unique_ptr<Qmp> qmp, std::string snapshots)
      : qmp_(std::move(qmp)), snapshots_(std::move(snapshots)) {}

  /// Does it, unless it is done already. @returns what was done, in words; or why it was not.
  [[nodiscard]] Outcome<std::string> apply(Action action, const Policy& policy, Time now);

  /// Takes up what a guard before this one did to this very machine, and did not undo: bits of
  /// applied(). A frozen machine that runs was let go by somebody, and is left alone.
  [[nodiscard]] Outcome<void> take_up(std::uint32_t applied, const Policy& policy, Time now);
  /// Nobody asks for it any more: the machine runs.
  void end_throttling();
  /// This guard leaves: a throttled machine must not stay stopped for ever.
  void leave();

  /// What came to its end, and words about it for the evidence.
  struct Ended {
    Action action;
    std::string words;
  };
  /// Lets a throttled guest run and stop; asks how a snapshot goes. Call it often.
  [[nodiscard]] std::optional<Ended> tick(Time now);
  /// When tick() wants to be called; nothing: no hurry.
  [[nodiscard]] std::optional<Time> next() const;

  /// Once a second: whether the guest still runs. @returns vanished  it is gone.
  [[nodiscard]] Outcome<std::string> status();

  [[nodiscard]] std::uint32_t applied() const noexcept { return applied_; }
  [[nodiscard]] Qmp& qmp() noexcept { return *qmp_; }

 private:
  Outcome<std::string> freeze();
  Outcome<std::string> isolate();
  Outcome<std::string> snapshot(Time now);
  Outcome<void> room_for_snapshot();

  std::unique_ptr<Qmp> qmp_;
  std::string snapshots_;
  std::uint32_t applied_ = 0;
  unsigned percent_ = 10;
  bool runs_ = true;  ///< within a throttled period
  Time turn_{}, ask_{}, snapshot_at_{};
  std::string snapshot_;
};

}  // namespace vitrine::fvm
