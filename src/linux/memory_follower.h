// MemoryFollower: notices that the guest's RAM has become another (a DIMM plugged, taken,
// exchanged), and asks the machine again where it lies.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "machine/machine.h"
#include "memory/virtual_memory.h"
#include "memory/witnessed_memory.h"

namespace vitrine::linux {

/// Between two looks: has the kernel's max_pfn moved since the last, or did the host refuse reads
/// of what was RAM? Is max_pfn beyond what the machine's map has, at the first look? Then the
/// machine is asked, once a second at most, as the word is the guest's; half a minute after an
/// answer that did not come.
///
/// max_pfn never goes back, and does not move for a DIMM that is exchanged for another: the kernel
/// also counts the events that it tells its programs (uevents), of which each plugging and taking
/// makes some. As it has others, these alone have the machine asked once in ten seconds.
class MemoryFollower {
 public:
  /// Where these stand in the kernel; nullopt: that one is not followed.
  /// Source: arch/x86/mm/init_64.c, update_end_of_memory_vars(); lib/kobject_uevent.c,
  /// uevent_seqnum (64 bits; an atomic64_t of late).
  struct Signs {
    std::optional<Gva> max_pfn, uevents;
  };
  /// @param machine, memory, ram  must outlive this.
  MemoryFollower(const Machine& machine, const VirtualMemory& memory, const WitnessedMemory& ram,
                 Signs signs);

  /// Cost: two 8-byte reads; a monitor's round trip where something has changed.
  void look();

 private:
  using Clock = std::chrono::steady_clock;
  /// The number at a sign's place; `otherwise` where it cannot be read.
  [[nodiscard]] std::uint64_t number(const std::optional<Gva>& at, std::uint64_t otherwise) const;

  const Machine& machine_;
  const VirtualMemory& memory_;
  const WitnessedMemory& ram_;
  Signs signs_;
  std::uint64_t end_ = 0, events_ = 0, refused_ = 0;
  Clock::time_point not_before_, not_before_for_events_;
};

}  // namespace vitrine::linux
