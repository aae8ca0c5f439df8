// AgentRings: the records of an agent's virtual CPUs, of the program that runs and the one before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "probe/agent/ring.h"
#include "probe/event_source.h"

namespace vitrine::probe {

/// Threads: any.
class AgentRings {
 public:
  /// A program's rings from now on; those of the one before are emptied once more.
  void read(RingMemory rings);
  /// Hands over what lies in the rings, of each a bounded share. @returns there was something
  bool drain(EventSink& sink);
  /// Records that found no room, so far.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  mutable std::mutex mutex_;
  RingMemory rings_, old_rings_;
  std::vector<RingReader> readers_, old_readers_;
  std::uint64_t lost_before_ = 0;
  bool broken_told_ = false;
  std::vector<std::byte> record_;
};

}  // namespace vitrine::probe
