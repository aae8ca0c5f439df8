// The mains of `vitrine-fvm`.
#pragma once

#include <span>

#include "base/problem.h"
#include "fvm/sandbox/seccomp.h"
#include "fvm/sensor/sensor.h"
#include "symptom/pack.h"

namespace vitrine::fvm {

/// The pack that lies in `file`. @returns io, malformed
[[nodiscard]] Outcome<symptom::Pack> read_pack(int file);

/// A sensor that looks for what the pack says, until its channel is closed. Locks itself down by
/// `rules`, then compiles the pack's YARA rules while there is no guest yet: that takes more memory
/// than keeping them, and would come on top of what is known of a kernel.
void run_sensor(const volatile std::byte* page, Pulse& pulse, Reporter& reporter, RamSource ram,
                const symptom::Pack& pack, std::span<const Rule> rules);

/// As a sandboxed process. Descriptors: 3 the verdict channel, 4 the control page, 5 the socket
/// by which the RAM comes, 6 the pack. Locks itself down before it has seen a byte of a guest.
/// @returns the process's exit status.
int run_process_sensor();

/// As init of a microVM: mounts, modules, then the same. The channel is the virtio-serial port
/// "vitrine.verdict", the control page and the RAM are ivshmem devices, the pack is in /pack.
int run_init();

}  // namespace vitrine::fvm
