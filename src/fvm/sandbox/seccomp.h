// Seccomp: the system calls a role may make, as data, each with its reason.
#pragma once

#include <span>
#include <string_view>

#include "base/problem.h"

namespace vitrine::fvm {

struct Rule {
  int call;  ///< SCMP_SYS(name)
  std::string_view name;
  std::string_view reason;
  /// A condition on one argument: (argument & mask) == value. mask 0: none.
  unsigned argument = 0;
  std::uint64_t mask = 0, value = 0;
  int refusal = 0;  ///< an errno: the call is answered with it, and is not the end
};

/// A process FVM, once it has its inputs: it computes, reads what it has mapped, and writes to
/// one descriptor. It opens nothing, connects to nothing, starts nothing.
[[nodiscard]] std::span<const Rule> sensor_rules();
/// The sensor as init of a microVM: RAM comes as devices, and so it opens files of sysfs.
[[nodiscard]] std::span<const Rule> microvm_rules();
/// A guard: the above, and files below its own evidence folder (Landlock says which), and
/// messages on the sockets it was given.
[[nodiscard]] std::span<const Rule> guard_rules();

/// From here on any other call ends this process (SIGSYS). All threads.
/// @returns unsupported, io
[[nodiscard]] Outcome<void> lock_down(std::span<const Rule> rules);

/// Whether this kernel has Landlock, and it is on.
[[nodiscard]] bool has_landlock() noexcept;

/// Landlock: nothing in any file system may be opened from here on but below `folders`
/// (there: everything but executing). An older kernel without Landlock is told by false;
/// the empty root and seccomp still hold.
[[nodiscard]] Outcome<bool> restrict_files(std::span<const std::string_view> folders);

}  // namespace vitrine::fvm
