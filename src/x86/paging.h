// Long-mode paging: the architecture as data, and the one walker.
#pragma once

#include <cstdint>
#include <functional>

#include "base/address.h"
#include "base/result.h"
#include "memory/physical_memory.h"

namespace vitrine::x86 {

/// The root of a set of page tables: CR3, and how deep the tables are.
struct PageRoot {
  Gpa table;            ///< bits 51:12 of CR3; page-aligned
  unsigned levels = 4;  ///< 4, or 5 with CR4.LA57
  /// Follow entries by which Linux keeps a program's page that nobody may touch: PROT_NONE, and
  /// what NUMA balancing takes away for a while. P is clear, bit 8 set, the frame inverted.
  /// Source: Linux, _PAGE_PROTNONE in arch/x86/include/asm/pgtable_types.h, pgtable-invert.h.
  bool untouchable = false;

  /// Bits 11:0 (PCID, PWT, PCD) and 63:52 of `cr3` are ignored.
  static constexpr PageRoot from(std::uint64_t cr3, bool five_levels) {
    return {.table = Gpa{cr3 & 0x000f'ffff'ffff'f000}, .levels = five_levels ? 5U : 4U};
  }
  bool operator==(const PageRoot&) const = default;
};

/// Where a virtual address leads, and what the tables allow there (all levels combined); of an
/// untouchable page: nothing.
struct Translation {
  Gpa address;                  ///< of the byte itself, not of its page
  std::uint64_t page_size = 0;  ///< 4 KiB, 2 MiB or 1 GiB
  bool writable = false;
  bool user = false;
  bool executable = false;
};

/// Translates a virtual address through the page tables at `root`.
///
/// @returns not_canonical  the bits above the address width are not all equal.
/// @returns not_present    an entry's P bit is 0; `error().address` is that entry's physical
/// address.
/// @returns malformed      an entry sets a bit that must be 0 for its size (PS where no page can
/// be).
/// @returns outside_ram    a table lies in a hole of the memory map.
/// Cost: at most one 8-byte read per level; nothing is allocated.
/// Source: Intel SDM vol. 3A, "Paging"; AMD APM vol. 2, "Page Translation and Protection".
[[nodiscard]] Result<Translation> translate(const PhysicalMemory& ram, PageRoot root, Gva address);

/// One run of virtual addresses that maps to consecutive physical ones with equal permissions.
struct Mapping {
  Gva start;
  std::uint64_t size = 0;
  Translation first;  ///< the translation of `start`
};

/// Calls `visit` for what is mapped in [from, to), in order of address, until it
/// answers false. Neighbouring pages are merged. Tables that cannot be read are
/// passed over as if empty. @returns the number of tables read, at most `limit`
/// (tables that lead back into themselves end there: Errc::cycle).
[[nodiscard]] Result<std::size_t> for_each_mapping(
    const PhysicalMemory& ram, PageRoot root, Gva from, Gva to, std::size_t limit,
    const std::function<bool(const Mapping&)>& visit);

}  // namespace vitrine::x86
