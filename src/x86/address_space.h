// AddressSpace: a guest's virtual memory, seen through one set of page tables.
#pragma once

#include <array>
#include <cstdint>

#include "memory/virtual_memory.h"
#include "x86/paging.h"

namespace vitrine::x86 {

/// Virtual memory of one root, with a small cache of translations.
///
/// The cache is right as long as the guest does not remap; forget() empties it, and
/// whoever starts a new look (a view, a refresh) calls that first.
/// Threads: one at a time; make one per thread, they are small (4 KiB).
class AddressSpace final : public VirtualMemory {
 public:
  /// `ram` must outlive this.
  AddressSpace(const PhysicalMemory& ram, PageRoot root) : ram_(ram), root_(root) {}

  [[nodiscard]] PageRoot root() const { return root_; }
  [[nodiscard]] const PhysicalMemory& ram() const { return ram_; }

  [[nodiscard]] Result<void> read(Gva from, MutableBytes into) const override;

  /// As x86::translate(), by the cache where it knows the page.
  [[nodiscard]] Result<Translation> translate(Gva address) const;

  void forget() const;

 private:
  struct Slot {
    std::uint64_t page = 1;   // virtual page address; 1 is no page's address
    std::uint64_t frame = 0;  // physical page address
  };
  static constexpr std::size_t kSlots = 256;

  const PhysicalMemory& ram_;
  PageRoot root_;
  mutable std::array<Slot, kSlots> slots_{};

  Result<const Slot*> page_of(Gva address) const;
};

}  // namespace vitrine::x86
