#include "cli/demo_guest.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "cli/interrupt.h"

namespace vitrine::cli {
namespace {

namespace fs = std::filesystem;

void usual_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) std::signal(signal, SIG_DFL);
}

/// Waits for the end of the pipe, which is the end of the program, then takes the guest
/// down. In a session of its own: Ctrl-C is not meant for it.
[[noreturn]] void guard(int lifeline, const char* program, const char* name) {
  setsid();
  char byte = 0;
  while (true) {
    const auto got = read(lifeline, &byte, 1);
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  usual_signals();
  const int quiet = open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (quiet >= 0) dup2(quiet, fd);
  }
  execl(program, program, "down", name, nullptr);
  _exit(127);
}

/// Its exit status; 128 and the signal if one ended it.
int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::optional<fs::path> find_guest_program() {
  std::error_code error;
  const auto self = fs::read_symlink("/proc/self/exe", error);
  if (error) return std::nullopt;
  const auto folder = self.parent_path();
  for (const auto* place : {"../../guests/guest", "../share/vitrine/guests/guest"}) {
    auto program = (folder / place).lexically_normal();
    if (access(program.c_str(), X_OK) == 0) return program;
  }
  return std::nullopt;
}

Outcome<DemoGuest> DemoGuest::boot(const std::string& label, const std::string& name) {
  const auto program = find_guest_program();
  if (!program) {
    return std::unexpected(Problem(Errc::not_found,
                                   "the recipe of the demo guest is not here (guests/guest)",
                                   "run the demo from the source tree: ./dev demo"));
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return std::unexpected(Problem(Errc::io, fmt::format("no pipe: {}", std::strerror(errno))));
  }
  const pid_t guardian = fork();
  if (guardian == 0) {
    close(ends[1]);
    guard(ends[0], program->c_str(), name.c_str());
  }
  close(ends[0]);
  DemoGuest guest(guardian, ends[1]);
  if (guardian < 0)
    return std::unexpected(Problem(Errc::io, fmt::format("no process: {}", std::strerror(errno))));

  const pid_t self = getpid();
  const pid_t boot = fork();
  if (boot == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != self) _exit(1);
    usual_signals();
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execl(program->c_str(), program->c_str(), "up", label.c_str(), "--name", name.c_str(), nullptr);
    _exit(127);
  }
  if (boot < 0)
    return std::unexpected(Problem(Errc::io, fmt::format("no process: {}", std::strerror(errno))));
  const int status = wait_for(boot);
  if (InterruptGuard::interrupted())
    return std::unexpected(Problem(Errc::io, "interrupted while the guest booted"));
  if (status != 0) {
    return std::unexpected(Problem(Errc::io,
                                   fmt::format("the demo guest did not boot (status {})", status),
                                   "above stands why; ./dev setup installs what it needs"));
  }
  return guest;
}

DemoGuest::DemoGuest(DemoGuest&& other) noexcept
    : guardian_(std::exchange(other.guardian_, -1)),
      lifeline_(std::exchange(other.lifeline_, -1)) {}

DemoGuest::~DemoGuest() {
  if (lifeline_ >= 0) close(lifeline_);
  if (guardian_ > 0) wait_for(guardian_);
}

}  // namespace vitrine::cli
