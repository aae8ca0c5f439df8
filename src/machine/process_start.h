// When a process was started: what tells a pid that is used again from the one before.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace vitrine {

/// Clock ticks since the host booted; 0: there is no such process, or it has ended and waits for
/// its parent to notice. Source: proc(5), /proc/PID/stat, field 22; the second field may hold any
/// character.
[[nodiscard]] std::uint64_t start_time_of(pid_t pid);

/// True while a signal (SIGSTOP) or a debugger keeps the process from running at all: it answers
/// nobody.
[[nodiscard]] bool is_stopped(pid_t pid);

}  // namespace vitrine
