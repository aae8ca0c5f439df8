// HostGuest: the machine and kernel as blocks that run on the host see them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "linux/kernel.h"
#include "machine/machine.h"
#include "probe/firing.h"
#include "probe/moment_fill.h"
#include "probe/user_frames.h"
#include "vmipl/program.h"

namespace vitrine::probe {

struct HostGuest {
  const Machine& machine;
  const linux::Kernel& kernel;
  FilledMoment moment;
  std::int64_t wall_minus_monotonic = 0;  ///< nanoseconds: one offset for a whole run
  /// The stack of the firing's CPU, as a stack's text (probe/value.h). Empty: not to be had.
  std::function<std::optional<std::size_t>(bool user, const HeldFiring& firing,
                                           std::span<char> into)>
      stack;
  std::shared_ptr<UserFrames> user_frames;  ///< names of what `stack` and sources tell of programs
  std::uint64_t list_head = 0;    ///< the first task_struct: init_task, or what the script says
  std::uint32_t list_offset = 0;  ///< of task_struct.tasks
};

/// Of an attached kernel. Both must outlive it.
[[nodiscard]] HostGuest host_guest(const Machine& machine, const linux::Kernel& kernel);

/// What the script's configuration says of offsets and addresses takes the place of what the kernel
/// itself says. @returns a sentence for each that contradicts it
[[nodiscard]] std::vector<std::string> apply_settings(const vmipl::Program& program,
                                                      HostGuest& guest);

[[nodiscard]] std::uint64_t monotonic_now() noexcept;
[[nodiscard]] std::int64_t wall_now() noexcept;

}  // namespace vitrine::probe
