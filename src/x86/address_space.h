// AddressSpace: a guest's virtual memory, seen through one set of page tables.
#pragma once

#include <array>
#include <cstdint>

#include "memory/virtual_memory.h"
#include "x86/paging.h"

namespace vitrine::x86 {

/// Virtual memory of one root, with a small cache of translations, large pages as
/// large pages: a kernel's direct map of a whole guest fits into it.
///
/// The cache is right as long as the guest does not remap; forget() empties it, and
/// whoever starts a new look (a view, a refresh) calls that first.
/// Threads: one at a time; make one per thread, they are small (8 KiB).
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
    std::uint64_t start = 1;  // virtual; 1 is no slot's
    std::uint64_t frame = 0;  // physical
  };
  static constexpr std::size_t kSlots = 256;
  static constexpr std::uint64_t kLarge = 2 * kMiB;  // 1 GiB pages are kept in pieces

  const PhysicalMemory& ram_;
  PageRoot root_;
  mutable std::array<Slot, kSlots> small_{};
  mutable std::array<Slot, kSlots> large_{};

  [[nodiscard]] Result<Gpa> physical(Gva address) const;
};

}  // namespace vitrine::x86
