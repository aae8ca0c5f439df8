#include "fvm/supervisor/machines_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace vitrine::fvm {

bool is_guest_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name.front() == '.' || name.front() == '-') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::vector<FoundGuest> list_guests(const std::string& folder) {
  std::vector<FoundGuest> found;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code unused;
    const auto ending = at->path().extension();
    if ((ending != ".qmp" && ending != ".sock") || !at->is_socket(unused)) continue;
    auto name = at->path().stem().string();
    if (is_guest_name(name)) found.push_back({std::move(name), at->path().string(), 0});
  }
  std::ranges::sort(found, {}, &FoundGuest::name);
  return found;
}

Outcome<Monitor> connect_monitor(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Through its folder, so that no path is too long.
  const auto slash = path.rfind('/');
  const FileDescriptor folder(
      ::open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto name = fmt::format("/proc/self/fd/{}/{}", folder.get(), path.substr(slash + 1));
  if (!folder || name.size() >= sizeof address.sun_path)
    return std::unexpected(Problem(Errc::not_found, fmt::format("{} is no socket", path)));
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  Monitor monitor;
  monitor.socket = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!monitor.socket ||
      ::connect(monitor.socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const bool nobody = errno == ENOENT || errno == ECONNREFUSED;
    return std::unexpected(Problem(nobody ? Errc::not_found : Errc::io,
                                   fmt::format("{}: {}", path, std::strerror(errno))));
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(monitor.socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      peer.pid <= 0) {
    return std::unexpected(
        Problem(Errc::io, fmt::format("{}: who listens there cannot be told", path)));
  }
  monitor.pid = peer.pid;
  monitor.pidfd = FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
  if (!monitor.pidfd)
    return std::unexpected(Problem(Errc::not_found, fmt::format("{}: its QEMU is gone", path)));
  // Whoever was named may have ended before it was opened, and its number be another's since: then
  // the other end of the connection is closed.
  pollfd end{monitor.socket.get(), 0, 0};
  if (::poll(&end, 1, 0) != 0)
    return std::unexpected(Problem(Errc::not_found, fmt::format("{}: its QEMU is gone", path)));
  return monitor;
}

}  // namespace vitrine::fvm
