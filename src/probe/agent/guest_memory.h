// GuestMemory: a virtual CPU's memory, read on its own thread.
//
// The guest's RAM lies in this process (QEMU's own), so a read is a walk of the guest's page
// tables and a copy: about 20 ns, where QEMU's own function for the same takes ten times that.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "probe/agent/plan.h"

namespace vitrine::probe {

/// RAM by guest-physical address, in this process.
class HostedRam {
 public:
  /// Ranges that are not mapped readable in this process are left out: nothing outside QEMU's
  /// own mappings is ever touched. @returns how many were left out in `refused`
  HostedRam(const std::vector<AgentRam>& ranges, std::size_t& refused);

  /// Others from now on, while CPUs read. @returns how many were left out
  std::size_t update(const std::vector<AgentRam>& ranges);

  /// Bytes that lie in the ranges, page by page. What a memory device had that was taken out
  /// meanwhile cannot be read; no harm comes of trying.
  [[nodiscard]] bool read(std::uint64_t gpa, MutableBytes into) const noexcept {
    const auto* there = stays(gpa, into.size());
    if (there == nullptr) return read_pages(gpa, into);
    std::memcpy(into.data(), there, into.size());
    return true;
  }
  /// An entry of a page table.
  [[nodiscard]] bool entry(std::uint64_t gpa, std::uint64_t& value) const noexcept {
    const auto* there = stays(gpa, sizeof value);
    if (there == nullptr) return read_pages(gpa, writable_bytes_of(value));
    std::memcpy(&value, there, sizeof value);
    return true;
  }

 private:
  using Ranges = std::vector<AgentRam>;
  /// Where those bytes lie, all in one range that nobody takes out; else null.
  [[nodiscard]] const std::byte* stays(std::uint64_t gpa, std::size_t size) const noexcept {
    for (const auto& range : *now_.load(std::memory_order_acquire)) {
      const auto offset = gpa - range.gpa;
      if (offset < range.size && size <= range.size - offset)
        return range.removable == 0 ? reinterpret_cast<const std::byte*>(
                                          range.hva + offset)  // NOLINT(performance-no-int-to-ptr)
                                    : nullptr;
    }
    return nullptr;
  }
  [[nodiscard]] bool read_pages(std::uint64_t gpa, MutableBytes into) const noexcept;

  std::atomic<const Ranges*> now_{nullptr};
  std::mutex mutex_;
  std::vector<std::unique_ptr<const Ranges>> all_;  ///< a CPU may still read by an older one
};

/// Virtual memory by one set of page tables. Remembers the last few pages for one firing.
class GuestMemory {
 public:
  GuestMemory(const HostedRam& ram, const AgentKernel& kernel) : ram_(ram), kernel_(kernel) {}

  /// From now on by these tables; what was remembered is forgotten. With KPTI, a root of the
  /// user's half is turned into its kernel half, which maps all that it maps.
  void begin(std::uint64_t cr3, bool five_levels) noexcept;

  [[nodiscard]] bool read(std::uint64_t va, MutableBytes into) const noexcept;
  [[nodiscard]] std::optional<std::uint64_t> physical(std::uint64_t va) const noexcept;
  template <class T>
  [[nodiscard]] std::optional<T> load(std::uint64_t va) const noexcept {
    T value;
    if (!read(va, writable_bytes_of(value))) return std::nullopt;
    return value;
  }
  [[nodiscard]] const HostedRam& ram() const { return ram_; }

 private:
  static constexpr std::size_t kSlots = 8;
  struct Slot {
    std::uint64_t page = 1;  // 1 is no page's
    std::uint64_t frame = 0;
  };
  const HostedRam& ram_;
  const AgentKernel& kernel_;
  std::uint64_t root_ = 0;
  unsigned levels_ = 4;
  mutable Slot slots_[kSlots];
};

}  // namespace vitrine::probe
