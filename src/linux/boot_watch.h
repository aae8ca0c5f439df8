// BootWatch: does the guest still run the kernel that was attached to?
//
// RAM alone tells late: a reboot leaves the old kernel's page tables where they are until something
// else is put there, which may never be. The boot CPU tells at once: whatever it runs for the old
// kernel, a program included, its page tables map the entry of system calls where that kernel has
// it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/address.h"

namespace vitrine::linux {

class Kernel;

/// Threads: one at a time.
class BootWatch {
 public:
  /// `kernel` must outlive it.
  explicit BootWatch(const Kernel& kernel);

  /// False from the moment on at which the guest is seen to run something else. RAM is read each
  /// time; the monitor is asked once a second (about 2 ms), one that does not answer every half
  /// minute. RAM that cannot be read says nothing: a QEMU that is ending loses it before its
  /// process is gone. Two looks, 100 ms apart, must agree, and the old kernel's clock stand still
  /// between them: in system management mode a CPU has no paging, and in a guest of the guest that
  /// one's.
  [[nodiscard]] bool same() { return same(Clock::now()); }

  using Clock = std::chrono::steady_clock;
  [[nodiscard]] bool same(Clock::time_point now);

 private:
  /// Does the boot CPU's page table lead elsewhere? Nothing if nobody can say.
  [[nodiscard]] std::optional<bool> elsewhere();

  const Kernel* kernel_;
  Gva entry_;
  Gpa entry_physical_;
  Gva jiffies_;
  std::uint64_t ticks_ = 0;  ///< at the first doubt
  Clock::time_point due_;
  unsigned doubts_ = 0;
  bool asks_ = true;
  bool gone_ = false;
};

}  // namespace vitrine::linux
