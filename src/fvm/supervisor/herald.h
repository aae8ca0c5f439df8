// The herald: says that something happened in a guest, where the guest's QEMU has the agent.
//
// `vitrine run`, with a script that prints a line whenever a program is executed or a module is
// loaded. Its output is a pipe whose other end the guard holds, and each byte there means "look
// now": what it says is not read, so a guest that has taken it over can make its FVM look more
// often, as far as that is bounded, and nothing else. It has what the agent's controller has (its
// user may read QEMU's memory anyway), and holds the agent: `vitrine run` of others waits.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

struct Herald {
  pid_t pid = -1;
  FileDescriptor words;  ///< the pipe's end to be read
};

/// @param program  the path of `vitrine`
/// @param log      a file for what it remarks
/// @returns not_found  that QEMU runs without the agent
/// @returns io
/// It dies with the caller's thread.
[[nodiscard]] Outcome<Herald> start_herald(const std::string& program, pid_t qemu,
                                           const std::string& log);

}  // namespace vitrine::fvm
