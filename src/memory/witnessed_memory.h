// WitnessedMemory: memory that remembers which reads the host refused.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory/passing_memory.h"

namespace vitrine {

/// Counts the reads of RAM that the host refused (io, denied, vanished).
/// A read outside the RAM is the guest's own doing and does not count.
class WitnessedMemory final : public PassingMemory {
 public:
  /// @param inner  must outlive this.
  explicit WitnessedMemory(const PhysicalMemory& inner) : PassingMemory(inner) {}

  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  std::size_t read_batch(std::span<BatchRead> batch) const override;

  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }  ///< since it was made
  [[nodiscard]] Gpa last_refused() const noexcept { return {last_}; }

 private:
  mutable std::atomic<std::uint64_t> refused_{0}, last_{0};
};

}  // namespace vitrine
