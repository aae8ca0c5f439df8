// SampleSource: `Sample(hertz)` by the host's clock, on any machine with a monitor: the registers
// of all CPUs, the guest not stopped. Blocks run on the host, with the stacks of that moment.
#pragma once

#include <memory>

#include "linux/kernel.h"
#include "machine/machine.h"
#include "probe/event_source.h"

namespace vitrine::probe {

/// `machine` must outlive it. It attaches to the kernel by itself, at its start.
[[nodiscard]] std::unique_ptr<EventSource> sample_source(const Machine& machine,
                                                         linux::AttachOptions attach);

}  // namespace vitrine::probe
