// Interrupt: Ctrl-C and its kin as a question that can be asked, for commands that have
// something to undo first.
#pragma once

#include <csignal>

namespace vitrine::cli {

/// While it lives, SIGINT, SIGTERM, SIGHUP and SIGQUIT are noted instead of ending the
/// program, and system calls that block return EINTR. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();

  [[nodiscard]] static bool interrupted() noexcept;
  /// The signal, for an exit status of 128 and it; 0: none.
  [[nodiscard]] static int signal() noexcept;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  struct sigaction before_[4] = {};
};

}  // namespace vitrine::cli
