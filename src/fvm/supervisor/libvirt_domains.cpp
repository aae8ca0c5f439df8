#include "fvm/supervisor/libvirt_domains.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "machine/qemu_process.h"

namespace vitrine::fvm {
namespace {

constexpr int kSocket = 3;  ///< of vitrine-libvirt

pid_t pid_in(const std::filesystem::path& path) {
  std::string text;
  std::getline(std::ifstream(path), text);
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  return error == std::errc() ? pid : 0;
}

[[noreturn]] void become_relay(const LibvirtRelay& relay, const std::string& domain, int socket,
                               pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  ::setsid();
  sigset_t nothing;
  ::sigemptyset(&nothing);
  ::sigprocmask(SIG_SETMASK, &nothing, nullptr);
  const int null = ::open("/dev/null", O_RDWR);
  const int log = ::open(relay.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
  const int kept = ::fcntl(socket, F_DUPFD, kSocket + 1);
  if (null < 0 || kept < 0 || ::dup2(null, 0) < 0 || ::dup2(null, 1) < 0 ||
      ::dup2(log < 0 ? null : log, 2) < 0 || ::dup2(kept, kSocket) < 0)
    ::_exit(127);
  ::syscall(SYS_close_range, kSocket + 1, ~0U, 0);
  ::execl(relay.program.c_str(), "vitrine-libvirt", relay.uri.c_str(), domain.c_str(), nullptr);
  ::_exit(127);
}

}  // namespace

Outcome<std::string> libvirt_run_folder(const std::string& uri) {
  if (uri == "qemu:///system") return std::string("/run/libvirt/qemu");
  if (uri == "qemu:///session") {
    if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime == '/')
      return std::string(runtime) + "/libvirt/qemu/run";
    if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
      return std::string(home) + "/.cache/libvirt/qemu/run";
  }
  return std::unexpected(
      Problem(Errc::invalid, fmt::format("libvirt is \"qemu:///system\" or \"qemu:///session\", "
                                         "not \"{}\": a guard reads its guest's RAM on this host",
                                         uri)));
}

std::vector<FoundGuest> list_domains(const std::string& folder) {
  std::vector<FoundGuest> found;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    auto name = at->path().stem().string();
    if (at->path().extension() != ".pid" || !is_guest_name(name)) continue;
    const auto pid = pid_in(at->path());
    if (pid <= 0) continue;
    // The folder has another file of the kind (libvirt's own), and one may be left over.
    const auto process = qemu_process(pid);
    if (process && process->name() == name)
      found.push_back({std::move(name), at->path().string(), pid});
  }
  std::ranges::sort(found, {}, &FoundGuest::name);
  return found;
}

Outcome<Monitor> connect_domain(const LibvirtRelay& relay, const FoundGuest& domain) {
  Monitor monitor;
  monitor.pid = domain.domain_pid;
  monitor.pidfd = FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, monitor.pid, 0)));
  if (!monitor.pidfd || pid_in(domain.path) != monitor.pid)
    return std::unexpected(
        Problem(Errc::not_found, fmt::format("{}: its QEMU is gone", domain.name)));
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return std::unexpected(Problem(Errc::io, "socketpair"));
  monitor.socket = FileDescriptor(ends[0]);
  const FileDescriptor theirs(ends[1]);
  const auto parent = ::getpid();
  const auto child = ::fork();
  if (child < 0) return std::unexpected(Problem(Errc::io, std::strerror(errno)));
  if (child == 0) become_relay(relay, domain.name, theirs.get(), parent);
  return monitor;
}

}  // namespace vitrine::fvm
