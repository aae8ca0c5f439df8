// Placement: where a gdbstub must stop the machine for a probe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "linux/kernel.h"
#include "probe/event_source.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// What a stop at an instruction means.
enum class StopRole : std::uint8_t {
  execute,
  function_return,  ///< at the entry: its return is watched for
  syscall,          ///< entry_SYSCALL_64
  syscall_return,   ///< do_syscall_64: its return is watched for
  handler,          ///< __x64_sys_NAME(pt_regs)
  handler_return,   ///< the same: its return is watched for
  process_start,    ///< wake_up_new_task(task)
  process_exec,     ///< behind a new image
  process_exit,     ///< taskstats_exit(task, group_dead)
  module_load,      ///< do_init_module(module): its return is watched for
  module_unload,    ///< free_module(module)
};

struct StopSpot {
  Gva at;
  StopRole role = StopRole::execute;
};

struct WatchSpot {
  Gva at;
  std::uint64_t length = 1;
  bool reads = false, writes = false;
};

struct Placement {
  std::vector<StopSpot> spots;
  std::optional<WatchSpot> watch;
};

struct Placed {
  Offer offer;
  Placement placement;  ///< of an offer that is possible
};

/// @param probe  index into program.probes
[[nodiscard]] Placed place(const linux::Kernel& kernel, const vmipl::Program& program,
                           std::uint32_t probe);

/// Whether a system call of this number is meant by the probe's argument.
[[nodiscard]] bool wants_system_call(const vmipl::ProgramProbe& probe, std::uint64_t number);

}  // namespace vitrine::probe
