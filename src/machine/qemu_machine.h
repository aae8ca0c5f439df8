// QemuMachine: a live QEMU as a Machine.
#pragma once

#include <memory>

#include "machine/machine.h"
#include "machine/qemu_process.h"

namespace vitrine {

struct QemuOpenOptions {
  std::size_t layout = 0;
  bool use_monitor = true;
};

/// Reaches `process`'s RAM by the best rung that holds: the monitor's memory map with
/// shared mappings and process_vm_readv; without a monitor the same with a map
/// inferred from the command line; without permission to the process the monitor
/// alone. Which one it was stands in notes() and warnings().
///
/// The monitor is let go before this returns. The guest is neither stopped nor written.
/// @returns denied, vanished, timeout, malformed
/// @returns unsupported  not x86; a confidential guest (SEV, TDX)
[[nodiscard]] Outcome<std::unique_ptr<Machine>> open_qemu(const QemuProcess& process,
                                                          QemuOpenOptions options = {});

}  // namespace vitrine
