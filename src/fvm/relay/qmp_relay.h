// QmpRelay: speaks QMP to a guard, and hands each command to whoever holds the monitor.
//
// A machine that libvirt manages has its monitor in libvirt's hands. Its guard has a socket all
// the same, with one machine behind it; what stands between is this.
#pragma once

#include <chrono>
#include <string>

#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

/// What the manager of a machine does for us. Called from one thread; each blocks as long as it
/// takes.
class MonitorPort {
 public:
  MonitorPort() = default;
  MonitorPort(const MonitorPort&) = delete;
  MonitorPort& operator=(const MonitorPort&) = delete;
  virtual ~MonitorPort() = default;

  /// @param command  one QMP command as JSON, without an id
  /// @returns the whole answer as JSON, {"return": ...} or {"error": ...}
  [[nodiscard]] virtual Outcome<std::string> run(const std::string& command) = 0;
  /// Writes the guest's memory into `file` as an ELF core. A manager does that its own way: one
  /// that hears its QEMU tell of a dump it did not order may fall (libvirt 9.0 does).
  [[nodiscard]] virtual Outcome<std::string> dump(int file) = 0;
};

/// Longest command that is taken.
inline constexpr std::size_t kLongestCommand = 64 * 1024;

/// Serves `client` until it closes its end. Commands are run one after the other. One that is not
/// answered within `patience` is answered with an error that says so (it may still be carried out),
/// and so are those that follow until it is: whoever asks is never held up for longer.
/// getfd, dump-guest-memory into that file and query-dump become `port`'s dump().
/// @returns protocol  what came is no QMP: too long, no JSON
[[nodiscard]] Outcome<void> relay_qmp(
    FileDescriptor client, MonitorPort& port,
    std::chrono::milliseconds patience = std::chrono::milliseconds(900));

}  // namespace vitrine::fvm
