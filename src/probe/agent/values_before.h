// ValuesBefore: what stood in watched memory before the instruction that each virtual CPU runs now.
//
// QEMU tells of a write when it is done. So the bytes that an instruction may reach are kept
// before it runs, and are believed only if the write came to the same physical page, and no
// other CPU had an instruction under way that may write the same bytes: what is not certain is
// missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "probe/agent/guest_memory.h"

namespace vitrine::probe {

class ValuesBefore {
 public:
  /// Room for `most` bytes of one instruction on each virtual CPU.
  ValuesBefore(std::size_t vcpus, std::size_t most);

  [[nodiscard]] std::size_t most() const { return most_; }
  /// Before the instruction: keeps the `size` bytes at `start` as `memory` has them, as many as can
  /// be read and there is room for. On the CPU's thread, as the rest.
  void keep(unsigned vcpu, const GuestMemory& memory, std::uint64_t start,
            std::uint64_t size) noexcept;
  /// Another instruction: what was kept is of no use any more. Cost: a comparison.
  void drop(unsigned vcpu) noexcept {
    if (kept_[vcpu].size != 0) [[unlikely]]
      forget(vcpu);
  }
  /// What stood at `address` before the write of `size` (up to 8) bytes that came to `physical`.
  [[nodiscard]] std::optional<std::uint64_t> find(unsigned vcpu, std::uint64_t address,
                                                  unsigned size,
                                                  std::uint64_t physical) const noexcept;
  /// The instruction wrote, and may write there again.
  void wrote(unsigned vcpu, std::uint64_t address, unsigned size, std::uint64_t value) noexcept;

 private:
  struct Kept {
    std::uint64_t start = 0;
    std::size_t size = 0;
    std::vector<std::byte> bytes;
    std::vector<std::uint64_t> frames;  ///< of the pages that start and what follows lie in
    bool contested = false;             ///< under mutex_, as `frames` and `size` when they change
  };
  void forget(unsigned vcpu) noexcept;
  /// Some byte of physical memory is in both.
  [[nodiscard]] static bool overlap(const Kept& one, const Kept& other) noexcept;

  std::size_t most_;
  std::vector<Kept> kept_;  ///< by virtual CPU, each its own thread's
  mutable std::mutex mutex_;
};

}  // namespace vitrine::probe
