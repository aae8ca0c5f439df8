#include "cli/main.h"

#include <fmt/core.h>
#include <unistd.h>

#include <csignal>
#include <exception>

#include "cli/dispatch.h"
#include "cli/problem_printer.h"
#include "cli/real_world.h"

namespace vitrine::cli {

int run(int argc, char** argv) {
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
