// QemuProcess: a running QEMU, found through /proc, and what it says of itself there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "machine/qemu_options.h"
#include "machine/qmp.h"

namespace vitrine {

struct QemuProcess {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot: tells a reused pid apart
  std::uint32_t uid = 0;
  std::string user;          ///< the uid's name, or its number
  std::string executable;    ///< the file's name without folders: "qemu-system-x86_64"
  std::string architecture;  ///< "x86_64", "i386", "aarch64"; empty if the name does not say
  QemuOptions options;
  std::vector<QmpEndpoint> monitors;              ///< QMP sockets as this process can reach them
  std::vector<std::string> unreachable_monitors;  ///< and those it cannot, with the reason

  /// -name, or "qemu-PID" for a machine without one.
  [[nodiscard]] std::string name() const;
};

/// Every running QEMU that /proc shows us, by pid. What is not permitted to be read
/// stays empty. Other mount and pid namespaces (containers) are looked into.
/// Cost: about 20 us per process of the host.
[[nodiscard]] std::vector<QemuProcess> find_qemu_processes();

/// One of them, if `pid` is a QEMU.
[[nodiscard]] Outcome<QemuProcess> qemu_process(pid_t pid);

/// The machine meant by `text`: a pid, the path of a QMP socket, the exact name
/// (-name, a libvirt domain's name), or the UUID.
/// @returns not_found  with the nearest names in the message
/// @returns invalid    several machines have this name; their pids are in the message
[[nodiscard]] Outcome<QemuProcess> find_qemu(std::string_view text);

/// True while `process` is the process it was when found.
[[nodiscard]] bool still_runs(const QemuProcess& process);

}  // namespace vitrine
