// What the host's kernel says of a process's threads, as files for somebody who has no /proc.
#pragma once

#include <sys/types.h>

#include <vector>

#include "memory/file_descriptor.h"

namespace vitrine::fvm {

inline constexpr std::size_t kMostThreads = 8;

/// schedstat and stat of each thread of `pid`, one after the other, as WaitAccount has them; of
/// kMostThreads at most. Nothing more can be learned by them, or done.
[[nodiscard]] std::vector<FileDescriptor> thread_files(pid_t pid);

}  // namespace vitrine::fvm
