// GdbSource: events from QEMU's own debugger stub, opened while the machine runs.
//
// For machines without the agent, KVM machines included. Each event stops the whole machine for
// milliseconds; a probe that fires too often is thinned by a rate.
#pragma once

#include <memory>

#include "linux/kernel.h"
#include "machine/machine.h"
#include "probe/event_source.h"
#include "probe/rate_gate.h"
#include "probe/source_settings.h"

namespace vitrine::probe {

struct GdbOptions {
  linux::AttachOptions attach;
  SourceSettings settings;  ///< its limit comes before a script's own
};
/// Of each probe, unless somebody says otherwise: a flood takes a third of the guest's time at
/// most, at some 17 ms a stop.
inline constexpr RateLimit kStopLimit{20, 400};

/// `machine` must outlive the source.
[[nodiscard]] std::unique_ptr<EventSource> gdb_source(const Machine& machine,
                                                      GdbOptions options = {});

}  // namespace vitrine::probe
