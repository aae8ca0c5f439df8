// PollingSource: processes and modules by comparing one look at the guest with the next.
//
// Costs the guest nothing and needs nothing of its QEMU but memory. What begins and ends between
// two looks is missed; the kernel's own count of forks says how much there may have been.
#pragma once

#include <chrono>
#include <memory>

#include "linux/kernel.h"
#include "machine/machine.h"
#include "probe/event_source.h"

namespace vitrine::probe {

struct PollingOptions {
  std::chrono::milliseconds period{100};
  linux::AttachOptions attach;  ///< it attaches by itself: a Kernel serves one thread
};

/// `machine` must outlive the source.
[[nodiscard]] std::unique_ptr<EventSource> polling_source(const Machine& machine,
                                                          PollingOptions options);

}  // namespace vitrine::probe
