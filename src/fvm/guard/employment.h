// Handing a guest's RAM to an FVM.
#pragma once

#include <vector>

#include "base/problem.h"
#include "fvm/messages.h"
#include "fvm/sensor/assigned_machine.h"
#include "memory/memory_map.h"

namespace vitrine::fvm {

/// Gives the RAM files to the FVM behind `door`: a packet socket for a process, a QMP connection
/// of its QEMU for a microVM (there each file becomes one or more read-only ivshmem devices).
/// @returns the segments as the FVM will know them.
[[nodiscard]] Outcome<std::vector<MapSegment>> hand_over(Isolation isolation,
                                                         const std::vector<MapSegment>& layout,
                                                         const std::vector<RamFile>& files,
                                                         FileDescriptor door);

}  // namespace vitrine::fvm
