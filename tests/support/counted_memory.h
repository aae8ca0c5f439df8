// CountedMemory: what a piece of work reads, without guessing.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory/passing_memory.h"

namespace vitrine {

/// Counts what passes.
class CountedMemory final : public PassingMemory {
 public:
  /// @param inner  must outlive this.
  explicit CountedMemory(const PhysicalMemory& inner) : PassingMemory(inner) {}

  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    ++reads_;
    ++trips_;
    bytes_ += into.size();
    return inner().read(from, into);
  }
  std::size_t read_batch(std::span<BatchRead> batch) const override {
    reads_ += batch.size();
    ++trips_;
    for (const auto& one : batch) bytes_ += one.into.size();
    return inner().read_batch(batch);
  }
  [[nodiscard]] Bytes window(Gpa from, std::uint64_t size) const noexcept override {
    ++windows_;
    return inner().window(from, size);
  }

  [[nodiscard]] std::uint64_t reads() const noexcept { return reads_; }  ///< a batch counts each
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint64_t trips() const noexcept { return trips_; }  ///< a batch counts once
  [[nodiscard]] std::uint64_t windows() const noexcept { return windows_; }

 private:
  mutable std::atomic<std::uint64_t> reads_{0}, bytes_{0}, trips_{0}, windows_{0};
};

}  // namespace vitrine
