// GdbLink: a gdbstub opened on a running QEMU, and closed so that nothing of it stays.
//
// The connection is a socket pair whose far end QEMU is handed over its QMP socket: no path in a
// file system, no port, nobody else can join. QEMU stops the guest when it is opened. When the
// far side just disappears, QEMU does nothing: breakpoints stay, and the guest stays stopped or
// stops for good at the next one. So the close is promised to the guardian first.
// Source: gdbstub/system.c of QEMU, gdb_chr_event(): it knows CHR_EVENT_OPENED alone.
#pragma once

#include <memory>

#include "base/problem.h"
#include "machine/guardian.h"
#include "machine/monitor.h"
#include "memory/file_descriptor.h"

namespace vitrine {

class GdbLink {
 public:
  /// Opens one. The guest is stopped from now on.
  /// @returns unsupported  the machine has a gdbstub open already, is not running (a close would
  /// let
  ///   it run), or its monitor is reached by TCP; errors as Monitor::talk()
  [[nodiscard]] static Outcome<std::unique_ptr<GdbLink>> open(const Monitor& monitor,
                                                              Guardian& guardian);

  GdbLink(const GdbLink&) = delete;
  GdbLink& operator=(const GdbLink&) = delete;
  /// Removes every breakpoint, lets the guest go on, and closes the stub.
  ~GdbLink();

  [[nodiscard]] int socket() const noexcept { return socket_.get(); }

 private:
  GdbLink(const Monitor& monitor, Guardian& guardian, FileDescriptor socket, std::uint64_t promise)
      : monitor_(monitor), guardian_(guardian), socket_(std::move(socket)), promise_(promise) {}

  const Monitor monitor_;
  Guardian& guardian_;
  FileDescriptor socket_;
  std::uint64_t promise_;
};

/// Why a gdbstub cannot be opened on this machine now; nothing: it can. Changes nothing.
[[nodiscard]] Outcome<void> gdbstub_is_free(Qmp& qmp);

/// Over a stub of a dead owner, or none: opens one of our own for a moment, so that QEMU removes
/// every breakpoint there is and lets the guest go on.
[[nodiscard]] Outcome<void> clear_gdbstub(Qmp& qmp);

/// After a gdbstub is closed: a CPU that met a breakpoint just before it was removed may stop the
/// machine a moment later, with nobody left to let it go. Watches for that, for 100 ms. "paused" is
/// ours at first, where a busy QEMU closed the stub before it heard "go on"; later it is
/// somebody's will.
void let_go(Qmp& qmp);

}  // namespace vitrine
