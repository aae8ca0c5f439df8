// FollowedMemory: a machine's RAM while what it is made of changes (a DIMM plugged).
#pragma once

#include <memory>
#include <utility>

#include "memory/physical_memory.h"

namespace vitrine {

/// Passes everything on to the newest of the memories that it was given.
/// Threads: follow() when nobody reads.
class FollowedMemory final : public PhysicalMemory {
 public:
  /// @param first  not null.
  explicit FollowedMemory(std::unique_ptr<PhysicalMemory> first) : now_(std::move(first)) {}

  /// From now on `next` serves. Windows and ranges of the one before stay valid until the next
  /// call.
  void follow(std::unique_ptr<PhysicalMemory> next) {
    before_ = std::move(now_);
    now_ = std::move(next);
  }

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return now_->ram(); }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    return now_->read(from, into);
  }
  std::size_t read_batch(std::span<BatchRead> batch) const override {
    return now_->read_batch(batch);
  }
  [[nodiscard]] Bytes window(Gpa from, std::uint64_t size) const noexcept override {
    return now_->window(from, size);
  }
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override {
    return now_->next_populated(from);
  }

 private:
  std::unique_ptr<PhysicalMemory> now_, before_;
};

}  // namespace vitrine
