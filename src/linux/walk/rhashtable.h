// Walker of the kernel's resizable hash tables.
#pragma once

#include <cstdint>
#include <functional>

#include "base/address.h"
#include "linux/walk/walk.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// Where an rhashtable keeps its parts, as the kernel's types say.
struct RhashtableLayout {
  std::uint64_t table = 0;    ///< rhashtable.tbl
  std::uint64_t size = 0;     ///< bucket_table.size, u32: buckets, a power of two
  std::uint64_t nest = 0;     ///< bucket_table.nest, u32: bits of the first level; 0: flat
  std::uint64_t future = 0;   ///< bucket_table.future_tbl: where a resize moves entries to
  std::uint64_t buckets = 0;  ///< bucket_table.buckets
  std::uint64_t next = 0;     ///< rhash_head.next
};

/// Visits the rhash_heads of the rhashtable at `rhashtable`: the object starts at that
/// address minus the member's offset. Duplicates of an rhltable are not visited.
///
/// While the guest moves entries from one bucket to another, an entry may be visited
/// twice or, within one bucket, be missed: a chain that does not end in the mark of its
/// own bucket is read again up to three times and then counted as a mismatch.
/// A bucket that cannot be read is passed, and `broken` names the last of them.
/// Cost: one read for 512 buckets, and one of 8 bytes an entry; buckets count against
/// sixteen times `limit`, which tables in use never reach.
/// Source: include/linux/rhashtable.h and lib/rhashtable.c, 5.3 to 7.3. A chain's end and an
/// empty bucket are numbers with bit 0 set (or 0): the bucket's address with that bit. In the
/// bucket itself bit 0 is a lock.
[[nodiscard]] Walked walk_rhashtable(const VirtualMemory& memory, const RhashtableLayout& layout,
                                     Gva rhashtable, std::size_t limit,
                                     const std::function<bool(Gva)>& visit);

}  // namespace vitrine::linux
