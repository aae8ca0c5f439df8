// A guest's RAM, opened by the one who may, for those who look.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/problem.h"
#include "fvm/messages.h"
#include "fvm/sensor/assigned_machine.h"

namespace vitrine::fvm {

struct GuestRam {
  std::vector<RamFile> files;  ///< open for reading alone
  RangesPacket layout;         ///< type layout
  bool shared = true;          ///< all of it lies in files: a microVM can have it
  std::string how;             ///< "memfd:pc.ram (256 MiB)"
};

/// Opens what `survey` says of process `pid`. Firmware's ROMs and shadows below 1 MiB that QEMU
/// keeps for itself are left out where the rest is shared. Where RAM is QEMU's own, the process's
/// memory is opened instead: whoever gets that sees all of that QEMU, not of RAM alone. A RAM file
/// without a name loses its write permission: nobody opens it for writing from here on.
/// @returns too_large  more than kMostRamFiles files; denied, vanished, malformed
[[nodiscard]] Outcome<GuestRam> open_guest_ram(pid_t pid, const RangesPacket& survey);

}  // namespace vitrine::fvm
