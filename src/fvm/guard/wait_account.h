// WaitAccount: how long the threads of an FVM were kept waiting, as the host's kernel tells it.
//
// A watcher that is silent because nobody gave it a CPU is no dead one. What it says of itself
// cannot tell the two apart. What the kernel says of it can, and cannot be forged from inside: a
// thread that sleeps, loops or was stopped is not counted as one that waits, whatever it does.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memory/file_descriptor.h"

namespace vitrine::fvm {

/// What the kernel says of a thread at one moment.
struct ThreadSample {
  std::uint64_t ran_ns = 0;     ///< on a CPU, as of its last tick or switch
  std::uint64_t waited_ns = 0;  ///< for a CPU; a wait counts once it is over
  char state = 0;               ///< 'R' wants a CPU, or has one; 'D' waits for a disk; 'S', 'T' ...

  bool operator==(const ThreadSample&) const = default;
};

/// Of /proc/PID/task/TID/schedstat and stat. Nothing: they are not what they should be, as where
/// the thread is gone or the kernel keeps no account.
/// Source: Documentation/scheduler/sched-stats.rst; proc_pid_stat(5), whose second field may hold
/// any character.
[[nodiscard]] std::optional<ThreadSample> parse_thread_sample(std::string_view schedstat,
                                                              std::string_view stat);

/// The waits of one thread.
class ThreadWait {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// @returns by how much its waits have grown since the last call; the first one counts nothing.
  ///   A wait that is still on counts from the first call that saw it.
  [[nodiscard]] std::chrono::nanoseconds see(const ThreadSample& sample, Time now);

 private:
  std::optional<ThreadSample> last_;
  Time looked_{};
  std::uint64_t before_ns_ = 0;  ///< waited before the first call
  std::optional<Time> since_;    ///< it wants a CPU and has none
  std::chrono::nanoseconds blocked_{}, told_{};
};

class WaitAccount {
 public:
  using Time = ThreadWait::Time;
  /// A file of each kind for each thread, one after the other: schedstat, stat, schedstat ...
  explicit WaitAccount(std::vector<FileDescriptor> files = {}) : files_(std::move(files)) {
    rest();
  }

  /// How long, since the last call, the thread that was kept waiting longest was.
  [[nodiscard]] std::chrono::nanoseconds waited(Time now);
  /// Forgets: the next call of waited() is a first one.
  void rest();
  /// For the log, behind other words: each thread's state, and what it had. Empty without files.
  [[nodiscard]] std::string words() const;

 private:
  [[nodiscard]] std::optional<ThreadSample> sample(std::size_t thread) const;

  std::vector<FileDescriptor> files_;
  std::vector<ThreadWait> threads_;
  bool resting_ = true;
};

}  // namespace vitrine::fvm
