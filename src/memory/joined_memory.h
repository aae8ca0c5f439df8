// JoinedMemory: several sources as one guest's RAM.
#pragma once

#include <memory>
#include <vector>

#include "memory/memory_map.h"
#include "memory/physical_memory.h"

namespace vitrine {

/// A guest whose RAM is of several kinds (one NUMA node in a memfd, another
/// anonymous): each part serves its own ranges.
class JoinedMemory final : public PhysicalMemory {
 public:
  /// @returns malformed  two parts claim the same address.
  [[nodiscard]] static Result<std::unique_ptr<PhysicalMemory>> create(
      std::vector<std::unique_ptr<PhysicalMemory>> parts);

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return map_.ranges(); }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  std::size_t read_batch(std::span<BatchRead> batch) const override;
  [[nodiscard]] Bytes window(Gpa from, std::uint64_t size) const noexcept override;
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override;

 private:
  JoinedMemory(std::vector<std::unique_ptr<PhysicalMemory>> parts, MemoryMap map)
      : parts_(std::move(parts)), map_(std::move(map)) {}

  std::vector<std::unique_ptr<PhysicalMemory>> parts_;
  MemoryMap map_;  ///< backing: the part's number; offset: the address itself
};

}  // namespace vitrine
