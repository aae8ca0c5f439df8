#include "machine/own_monitor.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>

#include "machine/process_start.h"

namespace vitrine {
namespace {

/// Who called listen() there; 0: not told (TCP, another pid namespace).
pid_t listener_of(const Qmp& qmp) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(qmp.socket(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

bool is_same_socket(const std::string& one, const std::string& other) {
  struct stat first{}, second{};
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/// Another QEMU whose own command line has this socket. libvirt listens in its machines' stead: a
/// listener that is no QEMU says nothing.
std::optional<QemuProcess> other_owner(const QemuProcess& process, const QmpEndpoint& endpoint,
                                       const Qmp& qmp) {
  const auto listener = endpoint.tcp() ? 0 : listener_of(qmp);
  if (listener <= 0 || listener == process.pid) return std::nullopt;
  auto other = qemu_process(listener);
  if (!other) return std::nullopt;
  const bool owns = std::ranges::any_of(other->monitors, [&](const QmpEndpoint& one) {
    return !one.tcp() && is_same_socket(one.path, endpoint.path);
  });
  return owns ? std::optional(std::move(*other)) : std::nullopt;
}

}  // namespace

Outcome<std::unique_ptr<Qmp>> connect_to(const QemuProcess& process, const QmpEndpoint& endpoint,
                                         QmpTimeouts timeouts) {
  auto qmp = Qmp::connect(endpoint, timeouts);
  if (!still_runs(process)) {
    return std::unexpected(
        Problem(Errc::vanished, fmt::format("{} (pid {}) is gone", process.name(), process.pid)));
  }
  if (qmp) {
    if (const auto other = other_owner(process, endpoint, **qmp)) {
      return std::unexpected(
          Problem(Errc::not_found, fmt::format("the QMP socket {} is that of {} (pid {}), too",
                                               endpoint.shown, other->name(), other->pid)));
    }
  } else if (qmp.error().code == Errc::timeout && is_stopped(process.pid)) {
    qmp.error().message = fmt::format(
        "the QMP socket {} does not answer: QEMU (pid {}) is stopped, by a signal or a debugger",
        endpoint.shown, process.pid);
  }
  return qmp;
}

}  // namespace vitrine
