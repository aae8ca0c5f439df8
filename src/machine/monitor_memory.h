// MonitorMemory: guest RAM read through QEMU's monitor, where nothing else is permitted.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "machine/qmp.h"
#include "memory/memory_map.h"
#include "memory/physical_memory.h"

namespace vitrine {

/// Reads with `xp`: text, a few MB/s, and the monitor is ours alone for as long as
/// this lives, so no other client can use it. The last rung: no file, no permission.
/// Threads take turns.
class MonitorMemory final : public PhysicalMemory {
 public:
  MonitorMemory(std::unique_ptr<Qmp> qmp, MemoryMap map)
      : qmp_(std::move(qmp)), map_(std::move(map)) {}

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return map_.ranges(); }
  /// Errors as PhysicalMemory::read(); a monitor that stops answering is `vanished`.
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  std::size_t read_batch(std::span<BatchRead> batch) const override;

  /// One monitor command over the same connection.
  [[nodiscard]] Outcome<std::string> human(std::string_view line) const;

 private:
  struct Want {
    Gpa from;
    MutableBytes into;
  };
  Result<void> fetch(std::span<const Want> wants) const;

  mutable std::mutex mutex_;
  std::unique_ptr<Qmp> qmp_;
  MemoryMap map_;
};

/// Fills `into` from what `xp /Nxb` prints, one byte after the other from `from` on.
/// False if the text says anything else, such as "Cannot access memory".
[[nodiscard]] bool parse_xp(std::string_view text, Gpa from, MutableBytes into);

}  // namespace vitrine
