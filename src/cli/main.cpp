#include "cli/main.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>

#include "cli/dispatch.h"
#include "cli/problem_printer.h"
#include "cli/real_world.h"

namespace vitrine::cli {
namespace {

/// A standard descriptor that came closed would be the number of the next socket or file that is
/// opened, and what is printed would go there. One is put in its place that neither reads nor
/// writes, so that it still fails as a closed one does.
void hold_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) == -1 && errno == EBADF)
      (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace

int run(int argc, char** argv) {
  hold_standard_descriptors();
  // A closed pipe is an answer to write(), not a sudden end: what was set up is undone.
  std::signal(SIGPIPE, SIG_IGN);
  FdOutput out(STDOUT_FILENO);
  FdOutput err(STDERR_FILENO);
  auto console = console_of_process(out, err);
  const auto world = real_world();
  Context context{*world, console};
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  try {
    return static_cast<int>(dispatch(words, context));
  } catch (const std::exception& error) {
    // Nobody throws on a guest's bytes; what comes here is a lack of memory or our own mistake.
    print(Problem(Errc::io, fmt::format("stopped by a mistake of its own: {}", error.what()),
                  "please report it, with the command line"),
          console);
    return static_cast<int>(Status::failed);
  }
}

}  // namespace vitrine::cli
