// AgentSource: the agent in QEMU, as an event source.
#pragma once

#include <memory>

#include "linux/kernel.h"
#include "machine/qemu_process.h"
#include "probe/event_source.h"
#include "probe/map_store.h"
#include "probe/source_settings.h"

namespace vitrine::probe {

struct AgentSourceOptions {
  std::uint32_t held_limit_ms = 1000;
  std::uint32_t ring_bytes = 4U << 20;
  /// Its rate limit is of each probe on each virtual CPU and comes before a script's own; where
  /// neither says one, a probe may take half of a virtual CPU's time (throttle.h).
  SourceSettings settings;
};

class AgentSource : public EventSource {
 public:
  /// Connects to the agent of `process`. `kernel` must outlive this.
  /// @returns not_found    the machine runs without an agent
  /// @returns denied       it has another controller, or is another user's
  /// @returns unsupported  no QMP socket: where guest RAM lies in QEMU is asked there
  [[nodiscard]] static Outcome<std::unique_ptr<AgentSource>> open(const QemuProcess& process,
                                                                  const linux::Kernel& kernel,
                                                                  AgentSourceOptions options = {});
};

}  // namespace vitrine::probe
