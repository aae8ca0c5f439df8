// GuestWriter: writes into the RAM of a running QEMU.
#pragma once

#include <memory>

#include "machine/monitor.h"
#include "memory/writable_memory.h"

namespace vitrine {

/// Two ways. Through QEMU's gdbstub, opened for the moment: the machine stops for some
/// milliseconds, and an emulator forgets what it translated from there, so code takes effect. Or
/// straight into the QEMU process: at once and unseen, code that was translated stays. Under KVM
/// there is no such difference. The first is taken where the stub is free and `may_stop`.
class GuestWriter final : public WritableMemory {
 public:
  GuestWriter(const Monitor& monitor, const WritePermission&) : monitor_(monitor) {}

  [[nodiscard]] Outcome<Effect> write(Gpa at, Bytes bytes) override {
    return write(at, bytes, true);
  }
  /// @param may_stop  false where a CPU waits for us: stopping the machine would wait for it
  [[nodiscard]] Outcome<Effect> write(Gpa at, Bytes bytes, bool may_stop);

 private:
  Outcome<Effect> through_stub(Gpa at, Bytes bytes);
  Outcome<Effect> into_process(Gpa at, Bytes bytes);
  const Monitor monitor_;
};

}  // namespace vitrine
