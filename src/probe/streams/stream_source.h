// StreamSource: the stream probes, as one event source.
#pragma once

#include <memory>

#include "machine/machine.h"
#include "probe/event_source.h"

namespace vitrine::probe {

/// `machine` must outlive the source.
[[nodiscard]] std::unique_ptr<EventSource> stream_source(const Machine& machine);

}  // namespace vitrine::probe
