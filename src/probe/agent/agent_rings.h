// AgentRings: the records of an agent's virtual CPUs, of the program that runs and those before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "probe/agent/ring.h"
#include "probe/event_source.h"

namespace vitrine::probe {

/// Threads: any.
class AgentRings {
 public:
  /// A program's rings from now on. Nobody writes to those of the ones before any more: they stay
  /// until they are empty.
  void read(RingMemory rings, std::shared_ptr<const vmipl::Program> program);
  /// Hands over what lies in the rings, of each a bounded share. @returns there was something
  bool drain(EventSink& sink);
  /// Records that found no room, so far.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  struct OfOneProgram {
    std::shared_ptr<const vmipl::Program> program;
    RingMemory rings;
    std::vector<RingReader> readers;
  };

  mutable std::mutex mutex_;
  std::deque<OfOneProgram> all_;  ///< the last is of the program that runs
  std::uint64_t lost_before_ = 0;
  bool broken_told_ = false;
  std::vector<std::byte> record_;
};

}  // namespace vitrine::probe
