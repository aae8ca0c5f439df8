// PageCache: what of a file the guest's kernel holds in its memory.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/walk/xarray.h"
#include "memory/physical_memory.h"

namespace vitrine::linux {

class Kernel;

/// Files of tmpfs and ramfs lie there whole; of others, the pages that were used of late.
/// Threads: one at a time.
class PageCache {
 public:
  /// @returns not_found  a member that this kernel's types lack, or no struct page array;
  ///   the message names it
  [[nodiscard]] static Outcome<PageCache> open(const Kernel& kernel);

  /// A file's contents, by the address_space that holds them.
  struct Contents {
    Gva mapping;  ///< struct address_space
    Gva inode;
    std::uint64_t size_bytes = 0;  ///< of the file
  };
  /// The contents behind a struct file. Errors as VirtualMemory::read; implausible: no such
  /// pointers.
  [[nodiscard]] Result<Contents> of_file(Gva file) const;

  /// Where page `index` of the contents lies in RAM.
  /// @returns not_present  the kernel does not hold it
  /// @returns malformed    the tree or the page contradicts itself
  [[nodiscard]] Result<Gpa> page(const Contents& contents, std::uint64_t index) const;

  /// Fills `into` from `offset` on.
  /// @returns out_of_bounds  it leaves the file; not_present: a page is not held
  [[nodiscard]] Result<void> read(const Contents& contents, std::uint64_t offset,
                                  MutableBytes into) const;

 private:
  explicit PageCache(const Kernel& kernel) : kernel_(&kernel) {}

  const Kernel* kernel_;
  Field<Gva> mapping_, host_;
  Field<std::int64_t> size_;
  XArrayLayout tree_;
  Field<Gva> head_;  // address_space.i_pages.xa_head
  Field<std::uint64_t> page_index_;
  std::uint64_t page_size_ = 64;  // of struct page
};

}  // namespace vitrine::linux
