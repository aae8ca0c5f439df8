// Which of a machine's RAM are memory devices, which come and go while it runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "machine/qemu_process.h"
#include "probe/agent/plan.h"

namespace vitrine::probe {

/// From the monitor's `info memory-devices`: each one's addresses, as far as it may reach.
[[nodiscard]] std::vector<AgentRange> parse_memory_devices(std::string_view text);

struct MachineRam {
  std::vector<AgentRam> ranges;  ///< the largest first: that is where almost all is
  std::string devices;           ///< the monitor's words; others tell that memory came or went
};

/// Where guest RAM lies in QEMU's memory.
/// @returns unsupported  no QMP socket
/// @returns timeout      it is busy
[[nodiscard]] Outcome<MachineRam> ask_machine_ram(const QemuProcess& process);

/// What `devices` of MachineRam is now.
[[nodiscard]] Outcome<std::string> ask_memory_devices(const QemuProcess& process);

}  // namespace vitrine::probe
