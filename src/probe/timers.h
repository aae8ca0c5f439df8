// Timers: probes that are due again and again, each by its own period.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace vitrine::probe {

/// Threads: one at a time, by whose mutex wait() is given the lock.
class Timers {
 public:
  struct Due {
    std::uint32_t probe;
    std::uint64_t missed;  ///< times that it was due before this one: they are not made up for
  };

  void clear() noexcept { timers_.clear(); }
  /// First due one period after `now_ns`. `period_ns` is not 0.
  void add(std::uint32_t probe, std::uint64_t period_ns, std::uint64_t now_ns) {
    timers_.push_back({probe, period_ns, now_ns + period_ns});
  }

  /// The earliest that is due; of those of one moment the first that was added. If none is, waits
  /// for its time or for `wake`. @returns nothing  after such a wait
  [[nodiscard]] std::optional<Due> wait(std::unique_lock<std::mutex>& lock,
                                        std::condition_variable& wake);

 private:
  struct Timer {
    std::uint32_t probe;
    std::uint64_t period_ns, next_ns;
  };
  std::vector<Timer> timers_;
};

}  // namespace vitrine::probe
