// The monitor of one certain QEMU.
#pragma once

#include "machine/qemu_process.h"
#include "machine/qmp.h"

namespace vitrine {

/// Qmp::connect() to `process`'s own monitor, and to no other's: a path belongs to whoever listened
/// there last. A QEMU that was started anew, or another one that was given the same path, answers
/// as willingly, and what it tells would be taken for this one's.
///
/// Errors as Qmp::connect(), and
/// @returns vanished   the process has ended
/// @returns not_found  another QEMU listens there
/// @returns timeout    said to be stopped, if a signal or a debugger stopped the process
[[nodiscard]] Outcome<std::unique_ptr<Qmp>> connect_to(const QemuProcess& process,
                                                       const QmpEndpoint& endpoint,
                                                       QmpTimeouts timeouts = {});

}  // namespace vitrine
