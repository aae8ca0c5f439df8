// The mains of `vitrine-fvm`.
#pragma once

#include "base/problem.h"
#include "symptom/pack.h"

namespace vitrine::fvm {

/// The pack that lies in `file`. @returns io, malformed
[[nodiscard]] Outcome<symptom::Pack> read_pack(int file);

/// As a sandboxed process. Descriptors: 3 the verdict channel, 4 the control page, 5 the socket
/// by which the RAM comes, 6 the pack. Locks itself down before it has seen a byte of a guest.
/// @returns the process's exit status.
int run_process_sensor();

/// As init of a microVM: mounts, modules, then the same. The channel is the virtio-serial port
/// "vitrine.verdict", the control page and the RAM are ivshmem devices, the pack is in /pack.
int run_init();

}  // namespace vitrine::fvm
