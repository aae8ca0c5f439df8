// What a list of machines says of each, without attaching to any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "machine/qemu_process.h"

namespace vitrine {

struct MachineSummary {
  std::string name;
  pid_t pid = 0;
  std::string user;
  std::string architecture;        ///< "x86_64"; empty if the program's name does not say
  std::string machine_type;        ///< as the command line says it; QEMU's default is "pc"
  std::string accelerator;         ///< "kvm", "tcg"
  std::uint64_t memory_bytes = 0;  ///< at start: plugged memory is not counted
  unsigned vcpus = 0;
  std::string monitor;  ///< its QMP socket as its owner wrote it; empty if none
  std::string state;    ///< "running", "paused" ...; empty if it was not asked or is busy
  std::string ram;      ///< how RAM would be reached: "shared mapping", "process_vm_readv",
                        ///< "QMP monitor"; empty if not at all
  std::string remark;   ///< why not, or why not better, and what to do
};

/// @param ask_state  also asks each monitor for the state: up to 0.2 s for a busy one.
[[nodiscard]] std::vector<MachineSummary> list_machines(bool ask_state = true);

[[nodiscard]] MachineSummary summarize(const QemuProcess& process, bool ask_state = true);

}  // namespace vitrine
