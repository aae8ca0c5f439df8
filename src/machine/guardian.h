// Guardian: a small process that undoes what we did to a QEMU if we die.
//
// QEMU keeps what a client has added: a filter goes on, a breakpoint stops the guest with nobody
// there to let it go. A destructor does not run under SIGKILL; so each effect is first promised to
// a child process, which holds the other end of a socket and outlives us. When the socket closes
// with promises open, it undoes them, the last first, and ends. With none open it just ends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/problem.h"
#include "machine/monitor.h"
#include "memory/file_descriptor.h"

namespace vitrine {

/// How to undo one effect: files first, then monitor commands in their order; each may fail.
struct Undo {
  struct Command {
    std::string command;    ///< "object-del"
    std::string arguments;  ///< a JSON object, or empty
  };
  struct File {
    std::string path, text;  ///< what is written into a file that is there
  };
  std::vector<File> files;
  std::vector<Command> commands;
  /// Our end of a gdbstub's connection: first its breakpoints are removed and the guest goes on.
  int gdb_socket = -1;
};

class Guardian {
 public:
  /// Starts the process. It survives signals to our process group, and holds none of our files.
  /// @returns io  the host refused a process
  /// Threads: may be called while others run.
  [[nodiscard]] static Outcome<std::unique_ptr<Guardian>> start(const Monitor& monitor);

  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;
  /// Waits until it has ended; what is still promised is undone by it first.
  ~Guardian();

  /// To be called before the effect. @returns a number for keep(); vanished: it was killed
  [[nodiscard]] Outcome<std::uint64_t> promise(const Undo& undo);
  /// The effect is undone: nothing is left to do.
  void kept(std::uint64_t number);

  [[nodiscard]] int pid() const noexcept { return pid_; }

 private:
  Guardian(FileDescriptor socket, int pid) : socket_(std::move(socket)), pid_(pid) {}

  FileDescriptor socket_;
  int pid_;
  std::uint64_t next_ = 1;
};

}  // namespace vitrine
