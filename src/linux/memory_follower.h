// MemoryFollower: notices that the guest's kernel was given memory (a DIMM plugged), and asks the
// machine again where RAM lies.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "machine/machine.h"
#include "memory/virtual_memory.h"
#include "memory/witnessed_memory.h"

namespace vitrine::linux {

/// Between two looks: has the kernel's max_pfn moved since the last, or did the host refuse reads
/// of what was RAM? Then the machine is asked, once a second at most, as the word is the guest's;
/// half a minute after an answer that did not come.
class MemoryFollower {
 public:
  /// @param max_pfn  the symbol's address; nullopt: nothing is followed.
  /// @param machine, memory, ram  must outlive this.
  MemoryFollower(const Machine& machine, const VirtualMemory& memory, const WitnessedMemory& ram,
                 std::optional<Gva> max_pfn);

  /// Cost: one 8-byte read; a monitor's round trip where something has changed.
  void look();

 private:
  using Clock = std::chrono::steady_clock;
  [[nodiscard]] std::uint64_t end() const;

  const Machine& machine_;
  const VirtualMemory& memory_;
  const WitnessedMemory& ram_;
  std::optional<Gva> max_pfn_;
  std::uint64_t end_ = 0, refused_ = 0;
  Clock::time_point not_before_;
};

}  // namespace vitrine::linux
