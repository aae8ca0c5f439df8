// ScriptGuest: what a running script is bound to: its guest's kernel, and what was made for it. A
// guest that is started anew (a reset, a kexec) gets another, and the script goes on.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "cli/event_sources.h"
#include "cli/session.h"
#include "probe/actions/machine_actions.h"
#include "probe/kernel_ports.h"
#include "probe/run_session.h"
#include "vmipl/check.h"
#include "vmipl/diagnostic.h"
#include "vmipl/source.h"

namespace vitrine::cli {

/// How a script is checked by these words of the command line.
[[nodiscard]] vmipl::CheckOptions check_options(const Arguments& words, const vmipl::Ports& ports);

class ScriptGuest {
 public:
  /// Of a session with a kernel. All must outlive it.
  ScriptGuest(Context& context, Session& session, const Arguments& words,
              const probe::SourceSettings& settings, probe::MachineActions::Teller tell);

  /// The program of a sound script. Without one, `diagnostics` says why.
  [[nodiscard]] std::shared_ptr<vmipl::Program> build(const vmipl::Source& source,
                                                      vmipl::Diagnostics& diagnostics) const;
  [[nodiscard]] probe::HostGuest host_guest() const;
  [[nodiscard]] std::vector<probe::EventSource*> sources() const { return made_->sources.ladder(); }
  [[nodiscard]] probe::MachineActions& actions() const { return *made_->actions; }

  /// To be called again and again while the script runs. Looks twice a second whether the guest
  /// runs another kernel; once the kernel ended, takes the script to the next one, if that is up.
  /// @returns true         it has looked just now, and the kernel is there
  /// @returns vanished     the machine ended while there was no kernel
  /// @returns unsupported  the script cannot be had on that kernel: why, by line
  [[nodiscard]] Outcome<bool> keep_up(probe::RunSession& running, const vmipl::Source& source);

 private:
  [[nodiscard]] Outcome<void> follow(probe::RunSession& running, const vmipl::Source& source);
  using Clock = std::chrono::steady_clock;
  /// What hangs on one kernel.
  struct Made {
    std::unique_ptr<probe::KernelPorts> ports;
    EventSources sources;
    std::unique_ptr<probe::MachineActions> actions;
  };
  [[nodiscard]] std::unique_ptr<Made> make(EventSources kept);
  Outcome<void> enter(probe::RunSession& running, const vmipl::Source& source);

  Context& context_;
  Session& session_;
  const Arguments& words_;
  const probe::SourceSettings settings_;
  const probe::MachineActions::Teller tell_;
  std::unique_ptr<Made> made_;
  Clock::time_point looked_ = Clock::now();
  Clock::time_point next_try_{};
  std::optional<Clock::time_point> up_since_;  ///< the next kernel, which refused until now
};

}  // namespace vitrine::cli
