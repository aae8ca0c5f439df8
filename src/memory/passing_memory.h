// PassingMemory: memory around memory, for whoever changes one thing of it.
#pragma once

#include <memory>
#include <utility>

#include "memory/physical_memory.h"

namespace vitrine {

/// Passes every call on. A wrapper inherits it and overrides what it changes.
class PassingMemory : public PhysicalMemory {
 public:
  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return inner_->ram(); }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    return inner_->read(from, into);
  }
  std::size_t read_batch(std::span<BatchRead> batch) const override {
    return inner_->read_batch(batch);
  }
  [[nodiscard]] Bytes window(Gpa from, std::uint64_t size) const noexcept override {
    return inner_->window(from, size);
  }
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override {
    return inner_->next_populated(from);
  }

 protected:
  /// @param inner  borrowed: it must outlive this.
  explicit PassingMemory(const PhysicalMemory& inner) : inner_(&inner) {}
  /// @param inner  owned; not null.
  explicit PassingMemory(std::unique_ptr<const PhysicalMemory> inner)
      : owned_(std::move(inner)), inner_(owned_.get()) {}

  [[nodiscard]] const PhysicalMemory& inner() const noexcept { return *inner_; }
  /// From now on `next` is the inner memory. @returns the one before, if it was owned.
  std::unique_ptr<const PhysicalMemory> pass_on_to(std::unique_ptr<const PhysicalMemory> next) {
    inner_ = next.get();
    return std::exchange(owned_, std::move(next));
  }

 private:
  std::unique_ptr<const PhysicalMemory> owned_;  // null: borrowed
  const PhysicalMemory* inner_;
};

}  // namespace vitrine
