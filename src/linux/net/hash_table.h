// Walker of the network's hash tables: arrays of hlist_head or hlist_nulls_head.
#pragma once

#include <cstdint>
#include <functional>

#include "base/address.h"
#include "linux/walk/walk.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux::net {

/// One array of buckets, each with the head of a chain in it.
struct HashTable {
  Gva buckets;
  std::uint64_t count = 0;       ///< buckets
  std::uint64_t stride = 8;      ///< bytes a bucket
  std::uint64_t head = 0;        ///< where in a bucket its chain's head lies
  bool nulls = false;            ///< hlist_nulls_head: a chain ends in an odd number
  std::uint64_t first_mark = 0;  ///< the number bucket 0 ends in; the next buckets count on
};

/// At most this many buckets of one table are looked at. The kernel's own limits: 2^19 for
/// TCP's established table by default (thash_entries= may say more), 2^16 for UDP's.
inline constexpr std::uint64_t kMaxBuckets = std::uint64_t{1} << 24;

/// Visits the hlist_nodes of all chains, in order of the buckets.
///
/// A chain whose back pointers do not lead back, or that ends in another bucket's number
/// (an entry was moved while we stood on it), is read again, up to three times, before
/// anything of it is visited; if it is still so, its entries are visited and counted as a
/// mismatch. `retries`, if given, counts those readings. A bucket that cannot be read
/// is passed, and `broken` names the last of them.
/// Cost: one read for 16 KiB of buckets, and one of 16 bytes an entry.
/// Source: include/linux/list.h, include/linux/list_nulls.h (NULLS_MARKER), 5.10 to 7.3.
[[nodiscard]] Walked walk_hash_table(const VirtualMemory& memory, const HashTable& table,
                                     std::size_t limit, const std::function<bool(Gva)>& visit,
                                     std::size_t* retries = nullptr);

}  // namespace vitrine::linux::net
