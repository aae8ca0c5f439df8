#include "fvm/supervisor/herald.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "probe/agent/agent_link.h"

namespace vitrine::fvm {
namespace {

constexpr const char* kScript =
    "ProcessExec { Print(\"exec\\n\") }\n"
    "ModuleLoad { Print(\"module\\n\") }\n";

[[noreturn]] void become_herald(const char* program, const char* qemu, int words, const char* log,
                                pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  ::setsid();
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  sigset_t nothing;
  ::sigemptyset(&nothing);
  ::sigprocmask(SIG_SETMASK, &nothing, nullptr);
  const int null = ::open("/dev/null", O_RDWR);
  const int told = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
  if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(words, 1) < 0 ||
      ::dup2(told < 0 ? null : told, 2) < 0)
    ::_exit(127);
  ::syscall(SYS_close_range, 3, ~0U, 0);
  // Where the agent is another's, or gone, the machine is not stopped in its place: --poll.
  ::execl(program, "vitrine", "run", "--poll", "--no-cache", "-e", kScript, qemu, nullptr);
  ::_exit(127);
}

}  // namespace

Outcome<Herald> start_herald(const std::string& program, pid_t qemu, const std::string& log) {
  if (!probe::find_agent_socket(qemu))
    return std::unexpected(Problem(Errc::not_found, "its QEMU runs without the agent"));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return std::unexpected(Problem(Errc::io, std::strerror(errno)));
  Herald herald{.pid = -1, .words = FileDescriptor(ends[0])};
  const FileDescriptor theirs(ends[1]);
  (void)::fcntl(herald.words.get(), F_SETFL, O_NONBLOCK);
  const auto number = std::to_string(qemu);
  const auto parent = ::getpid();
  herald.pid = ::fork();
  if (herald.pid < 0) return std::unexpected(Problem(Errc::io, std::strerror(errno)));
  if (herald.pid == 0)
    become_herald(program.c_str(), number.c_str(), theirs.get(), log.c_str(), parent);
  return herald;
}

}  // namespace vitrine::fvm
