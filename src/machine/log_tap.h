// LogTap: QEMU's trace events, as lines, on a machine that runs and was not started for it.
//
// QEMU writes trace events to its log. While a tap is open the log goes to a file in memory of
// ours; afterwards it goes home. Where the owner keeps a log (-D), that is read and not moved.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/problem.h"
#include "machine/growing_file.h"
#include "machine/guardian.h"
#include "machine/log_marker.h"
#include "machine/monitor.h"

namespace vitrine {

class LogTap {
 public:
  /// @param events  letters of kTraceEvents
  /// @returns unsupported  QEMU has no such event, keeps its log in use (-d, -trace without -D),
  ///   or another Vitrine has the tap; errors as Monitor::talk()
  [[nodiscard]] static Outcome<std::unique_ptr<LogTap>> open(const Monitor& monitor,
                                                             Guardian& guardian,
                                                             std::string_view events);

  LogTap(const LogTap&) = delete;
  LogTap& operator=(const LogTap&) = delete;
  /// Switches the events off and sends the log home.
  ~LogTap();

  /// Whole lines that have come since the last call, without their newlines.
  [[nodiscard]] std::vector<std::string> take_lines();
  /// What is not quite as before, and will not be: a sentence each.
  [[nodiscard]] const std::vector<std::string>& words() const noexcept { return words_; }

 private:
  LogTap(const Monitor& monitor, Guardian& guardian) : monitor_(monitor), guardian_(guardian) {}
  Outcome<void> redirect(Qmp& qmp);
  Outcome<void> follow(const std::string& path);

  const Monitor monitor_;
  Guardian& guardian_;
  std::optional<GrowingFile> file_;  ///< the log, while it is redirected
  FileDescriptor owners_log_;        ///< or the owner's own
  LogMarker marker_;
  std::optional<std::uint64_t> promise_;
  std::string rest_;  ///< of a line
  std::vector<std::string> words_;
};

/// Whether a tap could be opened, from outside: reads the command line, changes nothing.
[[nodiscard]] Outcome<void> log_can_be_tapped(const QemuProcess& process);

}  // namespace vitrine
