// Monitor: QEMU's monitor, opened for as long as a conversation takes, by whoever means to change
// something: a tap, a breakpoint, a pause. Looking alone needs no Monitor (machine.h).
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/problem.h"
#include "machine/qemu_process.h"
#include "machine/qmp.h"

namespace vitrine {

/// Things that we add to a QEMU are named after the process that added them, so that whoever comes
/// after a death finds and clears them (leftovers.h).
struct OwnerMark {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot: tells a pid used again apart

  [[nodiscard]] static OwnerMark self();
  /// "vitrine-PID-START-": what stands before each name of ours.
  [[nodiscard]] std::string prefix() const;
  /// The owner of "vitrine-PID-START-what", and what; nothing if it is no such name.
  struct Named;
  [[nodiscard]] static std::optional<Named> parse(std::string_view name);
  [[nodiscard]] bool lives() const;
  bool operator==(const OwnerMark&) const = default;
};
struct OwnerMark::Named {
  OwnerMark owner;
  std::string_view what;
};

class Monitor {
 public:
  explicit Monitor(QemuProcess process) : process_(std::move(process)) {}

  /// Connects to the first QMP socket that answers. QEMU serves one client a socket: a busy one is
  /// asked again for `patience`. Let go of it soon.
  /// @returns unsupported  the machine has no QMP socket
  /// @returns vanished     the machine is gone
  /// @returns timeout, denied ... as Qmp::connect()
  [[nodiscard]] Outcome<std::unique_ptr<Qmp>> talk(
      std::chrono::milliseconds patience = std::chrono::seconds(2)) const;

  [[nodiscard]] const QemuProcess& process() const noexcept { return process_; }

 private:
  QemuProcess process_;
};

/// `text` as a JSON string, quotes included.
[[nodiscard]] std::string json_quoted(std::string_view text);

}  // namespace vitrine
