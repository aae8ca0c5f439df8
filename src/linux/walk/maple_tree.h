// Walker of maple trees: what holds a process's memory areas from Linux 6.1 on.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "linux/walk/walk.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// Where maple nodes keep pivots and slots. The defaults are those of every 64-bit
/// kernel from 6.1 to 7.3 (struct maple_range_64, struct maple_arange_64).
struct MapleLayout {
  std::uint64_t range_pivots = 8;
  std::uint64_t range_slots = 128;
  unsigned range_count = 16;  ///< slots; there is one pivot fewer
  std::uint64_t arange_pivots = 8;
  std::uint64_t arange_slots = 80;
  unsigned arange_count = 10;
};

/// Visits the ranges of the tree whose root (maple_tree.ma_root: the pointer's *value*)
/// is `root`: visit(first, last, entry), in order of index; ranges without an entry are
/// passed over. An entry is what was stored; for mm_struct.mm_mt a vm_area_struct,
/// whose vm_start and vm_end - 1 must equal first and last.
///
/// Ranges are checked to lie within their node's and to grow, so no range is visited
/// twice; depth and nodes read are bounded, so a loop ends there (cycle).
/// Cost: one read of 256 bytes a node, which holds up to 16 entries.
/// Source: include/linux/maple_tree.h, lib/maple_tree.c (6.1): a node's address is
/// aligned to 256; bits 3..6 of a pointer to it are its type (0 dense, 1 leaf_64,
/// 2 range_64, 3 arange_64); a pivot of 0 after the first slot ends the node; the root
/// is a single entry for index 0 unless its low bits are 10 and it is above 4096.
template <class Visit>
[[nodiscard]] Walked walk_maple_tree(const VirtualMemory& memory, const MapleLayout& layout,
                                     std::uint64_t root, std::size_t limit, Visit&& visit) {
  constexpr std::size_t kNodeSize = 256;
  constexpr std::size_t kMaxDepth = 31;  // MAPLE_HEIGHT_MAX
  constexpr unsigned kDense = 0;
  constexpr unsigned kRange = 2;
  constexpr unsigned kArange = 3;
  constexpr unsigned kDenseSlots = 31;
  struct Level {
    std::array<std::byte, kNodeSize> bytes;
    std::uint64_t node, min, max;  // min: of the slot to come
    unsigned next, type;
  };

  Walked walked;
  if (root == 0) return walked;
  if ((root & 3) != 2 || root <= 4096) {
    if ((root & 3) == 2) return walked;  // a reserved entry (XA_ZERO ...)
    if (limit == 0) {
      walked.truncated = true;
      return walked;
    }
    ++walked.visited;
    walked.stopped = !visit(std::uint64_t{0}, std::uint64_t{0}, root);
    return walked;
  }

  std::vector<Level> stack;
  stack.reserve(4);
  std::size_t nodes = 0;
  const auto enter = [&](std::uint64_t entry, std::uint64_t min, std::uint64_t max) {
    const Gva node{entry & ~std::uint64_t{0xff}};
    const auto type = static_cast<unsigned>(entry >> 3 & 0xf);
    if (!is_kernel_pointer(node) || type > kArange) {
      walked.broken = Error{Errc::malformed, entry, "maple_node"};
      return false;
    }
    if (stack.size() == kMaxDepth) {
      walked.broken = Error{Errc::cycle, node.value, "maple_node"};
      return false;
    }
    if (nodes++ >= limit + kMaxDepth) {
      walked.truncated = true;
      return false;
    }
    Level& level = stack.emplace_back();
    if (auto done = memory.read(node, level.bytes); !done) {
      walked.broken = done.error();
      return false;
    }
    // A node taken out of the tree is its own parent (mte_dead_node).
    if ((load<std::uint64_t>(level.bytes, 0).value_or(0) & ~std::uint64_t{0xff}) == node.value) {
      walked.broken = Error{Errc::torn, node.value, "maple_node.parent"};
      return false;
    }
    level.node = node.value;
    level.min = min;
    level.max = max;
    level.next = 0;
    level.type = type;
    return true;
  };

  if (!enter(root, 0, UINT64_MAX)) return walked;
  while (!stack.empty()) {
    Level& level = stack.back();
    const bool arange = level.type == kArange;
    const unsigned count = level.type == kDense ? kDenseSlots
                           : arange             ? layout.arange_count
                                                : layout.range_count;
    if (level.next == count) {
      stack.pop_back();
      continue;
    }
    const unsigned slot = level.next++;
    const std::uint64_t first = level.min;
    std::uint64_t last = level.max;
    if (level.type == kDense) {
      last = first;  // one index a slot
    } else if (slot + 1 < count) {
      const auto pivots = arange ? layout.arange_pivots : layout.range_pivots;
      const auto pivot = load<std::uint64_t>(level.bytes, pivots + 8 * std::uint64_t{slot});
      if (!pivot) {
        walked.broken = Error{Errc::malformed, level.node, "maple_node.pivot"};
        return walked;
      }
      if (*pivot != 0 || slot == 0) last = *pivot;
    }
    if (last < first || last > level.max) {
      walked.broken = Error{Errc::malformed, level.node, "maple_node.pivot"};
      return walked;
    }
    const auto slots = level.type == kDense ? std::uint64_t{8}
                       : arange             ? layout.arange_slots
                                            : layout.range_slots;
    const auto entry = load<std::uint64_t>(level.bytes, slots + 8 * std::uint64_t{slot});
    if (!entry) {
      walked.broken = Error{Errc::malformed, level.node, "maple_node.slot"};
      return walked;
    }
    if (last == level.max) {
      level.next = count;  // what follows in this node is not in use
    } else {
      level.min = last + 1;
    }
    if (*entry == 0) continue;
    if (level.type >= kRange) {
      if (!enter(*entry, first, last)) return walked;
      continue;
    }
    if ((*entry & 3) == 2) continue;  // XA_ZERO: reserved while a fork copies the tree
    if (walked.visited == limit) {
      walked.truncated = true;
      return walked;
    }
    ++walked.visited;
    if (!visit(first, last, *entry)) {
      walked.stopped = true;
      return walked;
    }
  }
  return walked;
}

}  // namespace vitrine::linux
