// FailingMemory: memory that fails on purpose, for fault sweeps.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory/passing_memory.h"

namespace vitrine {

/// Fails one read, the `fail_at`th (from 0), or from there on all; shows no windows and takes
/// batches one by one, so that every byte passes by. For fault sweeps: fail at the first read, the
/// second, the third ... until the work succeeds; then failed() is false.
class FailingMemory final : public PassingMemory {
 public:
  /// @param inner  must outlive this.
  FailingMemory(const PhysicalMemory& inner, std::uint64_t fail_at, bool from_there_on = false,
                Errc code = Errc::io)
      : PassingMemory(inner), fail_at_(fail_at), from_there_on_(from_there_on), code_(code) {}

  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    const auto number = reads_++;
    if (number == fail_at_ || (from_there_on_ && number > fail_at_)) {
      failed_ = true;
      return fail(code_, from.value, "made to fail");
    }
    return inner().read(from, into);
  }
  std::size_t read_batch(std::span<BatchRead> batch) const override {
    return PhysicalMemory::read_batch(batch);
  }
  [[nodiscard]] Bytes window(Gpa, std::uint64_t) const noexcept override { return {}; }

  /// Whether a read was made to fail.
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  std::uint64_t fail_at_;
  bool from_there_on_;
  Errc code_;
  mutable std::atomic<std::uint64_t> reads_{0};
  mutable std::atomic<bool> failed_{false};
};

}  // namespace vitrine
