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
#include "probe/source_settings.h"

namespace vitrine::probe {

struct PollingOptions {
  /// A period and a limit that come before a script's own. Unless somebody says otherwise a look
  /// is taken every kPollPeriod, and as many firings pass as there are.
  SourceSettings settings;
  linux::AttachOptions attach;  ///< it attaches by itself: a Kernel serves one thread
};
inline constexpr std::chrono::nanoseconds kPollPeriod = std::chrono::milliseconds(100);

/// `machine` must outlive the source.
[[nodiscard]] std::unique_ptr<EventSource> polling_source(const Machine& machine,
                                                          PollingOptions options);

}  // namespace vitrine::probe
