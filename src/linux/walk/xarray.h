// Walker of XArrays, radix trees and IDRs (one structure since Linux 4.20).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"
#include "linux/type_catalogue.h"
#include "linux/walk/walk.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// Where an xa_node keeps what the walk needs. The defaults are those of every 64-bit
/// kernel from 4.20 to 7.3 without CONFIG_BASE_SMALL (which has 16 slots, not 64) and without
/// a structure layout that was shuffled.
struct XArrayLayout {
  /// As this kernel's types say; the defaults for what they do not.
  [[nodiscard]] static XArrayLayout of(const TypeCatalogue& types) {
    XArrayLayout layout;
    const auto node = types.find("xa_node");
    if (!node) return layout;
    if (const auto shift = node->find_member("shift")) layout.shift = shift->offset();
    if (const auto slots = node->find_member("slots")) {
      layout.slots = slots->offset();
      const auto count = slots->type.resolved().count();
      if (std::has_single_bit(count) && count <= 64) layout.slot_count = count;
    }
    return layout;
  }

  std::uint64_t shift = 0;   ///< xa_node.shift: bits of index below one slot
  std::uint64_t slots = 40;  ///< xa_node.slots
  unsigned slot_count = 64;  ///< a power of two, at most 64
};

/// Visits the entries of the tree whose head (xarray.xa_head, idr.idr_rt.xa_head: the
/// pointer's *value*) is `head`: visit(index, entry), in order of index.
///
/// An entry is what the kernel stored: a pointer, or with bit 0 set the value
/// `entry >> 1` (XA_VALUE). Sibling, retry and zero entries are passed over. An IDR's
/// numbers are `index + idr.idr_base`.
/// A child's shift must be smaller than its parent's, so no path can lead back into
/// itself; nodes read are bounded by `limit` too (a forged tree may share them).
/// Cost: one read of 512 bytes a node.
/// Source: include/linux/xarray.h: entries with low bits 10 are internal: a node's
/// address + 2 if above 4096, else sibling (< 62 << 2 | 2), retry (256) or zero (257).
template <class Visit>
[[nodiscard]] Walked walk_xarray(const VirtualMemory& memory, const XArrayLayout& layout,
                                 std::uint64_t head, std::size_t limit, Visit&& visit) {
  constexpr unsigned kMaxSlots = 64;
  constexpr std::size_t kMaxDepth = 16;  // 64 bits in steps of at least 4
  struct Level {
    std::array<std::uint64_t, kMaxSlots> slots;
    std::uint64_t base;
    unsigned next;
    unsigned shift;
  };
  const auto is_internal = [](std::uint64_t entry) { return (entry & 3) == 2; };
  const auto is_node = [&](std::uint64_t entry) { return is_internal(entry) && entry > 4096; };

  Walked walked;
  if (head == 0) return walked;
  if (!is_node(head)) {
    if (is_internal(head)) return walked;
    if (limit == 0) {
      walked.truncated = true;
      return walked;
    }
    ++walked.visited;
    walked.stopped = !visit(std::uint64_t{0}, head);
    return walked;
  }

  const unsigned slot_count = layout.slot_count <= kMaxSlots ? layout.slot_count : kMaxSlots;
  std::vector<Level> stack;
  stack.reserve(4);
  std::size_t nodes = 0;
  const auto enter = [&](std::uint64_t entry, std::uint64_t base, unsigned above) {
    const Gva node{entry - 2};
    if (!is_kernel_pointer(node)) {
      walked.broken = Error{Errc::malformed, entry, "xa_node"};
      return false;
    }
    if (nodes++ >= limit + kMaxDepth) {
      walked.truncated = true;
      return false;
    }
    const auto shift = memory.load<std::uint8_t>(node + layout.shift);
    if (!shift) {
      walked.broken = shift.error();
      return false;
    }
    if (*shift >= above || stack.size() == kMaxDepth) {
      walked.broken = Error{Errc::cycle, node.value, "xa_node.shift"};
      return false;
    }
    Level& level = stack.emplace_back();
    level.base = base;
    level.next = 0;
    level.shift = *shift;
    const auto into = std::as_writable_bytes(std::span(level.slots)).first(slot_count * 8);
    if (auto done = memory.read(node + layout.slots, into); !done) {
      walked.broken = done.error();
      return false;
    }
    return true;
  };

  if (!enter(head, 0, 64)) return walked;
  while (!stack.empty()) {
    Level& level = stack.back();
    if (level.next == slot_count) {
      stack.pop_back();
      continue;
    }
    const std::uint64_t entry = level.slots[level.next];
    const std::uint64_t index = level.base + (std::uint64_t{level.next} << level.shift);
    ++level.next;
    if (entry == 0) continue;
    if (is_node(entry) && level.shift > 0) {
      if (!enter(entry, index, level.shift)) return walked;
      continue;
    }
    if (is_internal(entry)) continue;
    if (walked.visited == limit) {
      walked.truncated = true;
      return walked;
    }
    ++walked.visited;
    if (!visit(index, entry)) {
      walked.stopped = true;
      return walked;
    }
  }
  return walked;
}

/// The entry at `index` of the tree whose head is `head`: 0 if there is none; a sibling entry
/// (of a folio of several pages) gives what it stands beside.
/// @returns malformed, cycle; errors as VirtualMemory::read
/// Cost: two reads for each level.
[[nodiscard]] inline Result<std::uint64_t> find_in_xarray(const VirtualMemory& memory,
                                                          const XArrayLayout& layout,
                                                          std::uint64_t head, std::uint64_t index) {
  const auto is_internal = [](std::uint64_t entry) { return (entry & 3) == 2; };
  std::uint64_t entry = head;
  unsigned above = 64;
  while (is_internal(entry) && entry > 4096) {
    const Gva node{entry - 2};
    if (!is_kernel_pointer(node)) return fail(Errc::malformed, entry, "xa_node");
    const unsigned shift = TRY(memory.load<std::uint8_t>(node + layout.shift));
    if (shift >= above) return fail(Errc::cycle, node.value, "xa_node.shift");
    auto slot = index >> shift;
    // The head's node covers what its slots do; below it the index was narrowed already.
    if (above == 64 && slot >= layout.slot_count) return std::uint64_t{0};
    slot %= layout.slot_count;
    entry = TRY(memory.load<std::uint64_t>(node + layout.slots + slot * 8));
    if (is_internal(entry) && entry < 4096 && entry >> 2 < slot) {
      entry = TRY(memory.load<std::uint64_t>(node + layout.slots + (entry >> 2) * 8));
      if (is_internal(entry)) return fail(Errc::malformed, node.value, "a sibling of an xa_node");
    }
    above = shift;
  }
  // A lone entry at the head is that of index 0.
  if (entry == head && index != 0) return std::uint64_t{0};
  return is_internal(entry) ? std::uint64_t{0} : entry;
}

}  // namespace vitrine::linux
