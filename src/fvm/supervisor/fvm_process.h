// An FVM as the supervisor holds it: a process, or the QEMU of a microVM, and its three ends.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "fvm/control_page.h"
#include "fvm/messages.h"
#include "fvm/sandbox/spawn.h"

namespace vitrine::fvm {

struct FvmProcess {
  Isolation isolation = Isolation::process;
  std::uint64_t serial = 0;  ///< its name to the Super FVM
  std::uint64_t number = 0;  ///< its generation, once it has a guest
  uid_t user = 0;
  Started process;
  FileDescriptor channel;  ///< our end of the verdict channel
  FileDescriptor control;  ///< the control page, writable
  FileDescriptor door;     ///< by which RAM goes in
  FileDescriptor ram;      ///< of a microVM: its own, for the Super FVM to look at
  std::uint64_t ram_size = 0;
  bool examined = false;  ///< the Super FVM was told of it
  std::chrono::steady_clock::time_point started;
  std::uint64_t drained = 0;  ///< bytes taken off the channel while it waited
};

/// A busy host must not look like a dead watcher: what FVMs may use is bounded otherwise.
inline constexpr int kWatcherNice = -10;

struct FvmPrograms {
  int program = -1;  ///< vitrine-fvm, a sealed copy of what was measured
  int pack = -1;     ///< the pack's bytes, an open file
  std::string log;   ///< for its stderr; may be empty
};

/// Starts a process FVM with no guest. Errors as start_in_box().
[[nodiscard]] Outcome<FvmProcess> start_process_fvm(const FvmPrograms& programs, uid_t user);

/// Takes off what a waiting FVM says, without looking at it: it has seen no guest, and only
/// says that it lives. @returns false  the channel is closed.
bool drain(FvmProcess& fvm);

}  // namespace vitrine::fvm
