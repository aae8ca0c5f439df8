// Walkers of linked lists: list_head, hlist, hlist_nulls, and plain next pointers.
//
// Visitors get the address of the embedded node; the object starts at that address
// minus the member's offset.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "base/address.h"
#include "linux/walk/walk.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// Notices when a sequence runs into itself, in constant space (Brent's algorithm):
/// at the latest after three times the distance to where it closed.
class LoopGuard {
 public:
  /// @returns true if `at` was seen before.
  bool closes(Gva at) {
    if (at == mark_) return true;
    if (++steps_ == power_) {
      mark_ = at;
      power_ *= 2;
      steps_ = 0;
    }
    return false;
  }

 private:
  Gva mark_;
  std::uint64_t power_ = 1;
  std::uint64_t steps_ = 0;
};

/// Visits the nodes of a circular list_head list, without its head.
///
/// A node whose `prev` is not the node before it is counted as a mismatch and passed:
/// readers under RCU see that too, as `list_del_rcu` changes two nodes one after the
/// other and leaves `prev` poisoned. A list that closes elsewhere than at its head is
/// broken (cycle); nodes of the loop may have been visited more than once by then.
/// Cost: one read of 16 bytes a node.
/// Source: struct list_head in include/linux/types.h: next, prev; since 2.6 at least.
template <class Visit>
[[nodiscard]] Walked walk_list(const VirtualMemory& memory, Gva head, std::size_t limit,
                               Visit&& visit) {
  Walked walked;
  LoopGuard guard;
  Gva before = head;
  auto link = memory.load<std::array<std::uint64_t, 2>>(head);
  if (!link) {
    walked.broken = link.error();
    return walked;
  }
  const Gva last{(*link)[1]};
  for (Gva at{(*link)[0]}; at != head; at = Gva{(*link)[0]}) {
    if (!is_kernel_pointer(at)) {
      walked.broken = Error{Errc::malformed, before.value, "list_head.next"};
      return walked;
    }
    if (guard.closes(at)) {
      walked.broken = Error{Errc::cycle, at.value, "list_head.next"};
      return walked;
    }
    if (walked.visited == limit) {
      walked.truncated = true;
      return walked;
    }
    link = memory.load<std::array<std::uint64_t, 2>>(at);
    if (!link) {
      walked.broken = link.error();
      return walked;
    }
    if ((*link)[1] != before.value) ++walked.mismatches;
    ++walked.visited;
    if (!visit(at)) {
      walked.stopped = true;
      return walked;
    }
    before = at;
  }
  if (before != last) ++walked.mismatches;
  return walked;
}

/// Visits the nodes of a list whose nodes hold the address of the next at
/// `next_offset` and end with 0: vm_area_struct.vm_next, llist_node.next ...
/// `first` is the first node itself (0: an empty list).
/// Cost: one read of 8 bytes a node.
template <class Visit>
[[nodiscard]] Walked walk_chain(const VirtualMemory& memory, Gva first, std::uint64_t next_offset,
                                std::size_t limit, Visit&& visit) {
  Walked walked;
  LoopGuard guard;
  for (Gva at = first; at;) {
    if (!is_kernel_pointer(at)) {
      walked.broken = Error{Errc::malformed, at.value, "next pointer"};
    } else if (guard.closes(at)) {
      walked.broken = Error{Errc::cycle, at.value, "next pointer"};
    } else if (walked.visited == limit) {
      walked.truncated = true;
    }
    if (!walked.complete()) return walked;
    const auto next = memory.load<std::uint64_t>(at + next_offset);
    if (!next) {
      walked.broken = next.error();
      return walked;
    }
    ++walked.visited;
    if (!visit(at)) {
      walked.stopped = true;
      return walked;
    }
    at = Gva{*next};
  }
  return walked;
}

namespace detail {

template <bool kNulls, class Visit>
[[nodiscard]] Walked walk_hlist(const VirtualMemory& memory, Gva head, std::size_t limit,
                                Visit&& visit) {
  Walked walked;
  LoopGuard guard;
  Gva holder = head;  // what the node's pprev must be
  const auto first = memory.load<std::uint64_t>(head);
  if (!first) {
    walked.broken = first.error();
    return walked;
  }
  for (Gva at{*first}; kNulls ? (at.value & 1) == 0 : at.value != 0;) {
    if (!is_kernel_pointer(at)) {
      walked.broken = Error{Errc::malformed, holder.value, "hlist_node.next"};
    } else if (guard.closes(at)) {
      walked.broken = Error{Errc::cycle, at.value, "hlist_node.next"};
    } else if (walked.visited == limit) {
      walked.truncated = true;
    }
    if (!walked.complete()) return walked;
    const auto link = memory.load<std::array<std::uint64_t, 2>>(at);
    if (!link) {
      walked.broken = link.error();
      return walked;
    }
    if ((*link)[1] != holder.value) ++walked.mismatches;
    ++walked.visited;
    if (!visit(at)) {
      walked.stopped = true;
      return walked;
    }
    holder = at;
    at = Gva{(*link)[0]};
  }
  return walked;
}

}  // namespace detail

/// Visits the nodes of the hlist whose hlist_head is at `head`. As walk_list().
/// Source: struct hlist_node: next, pprev (the address of the pointer that leads here).
template <class Visit>
[[nodiscard]] Walked walk_hlist(const VirtualMemory& memory, Gva head, std::size_t limit,
                                Visit&& visit) {
  return detail::walk_hlist<false>(memory, head, limit, std::forward<Visit>(visit));
}

/// The same for hlist_nulls_head, whose last `next` is an odd number.
/// Source: include/linux/list_nulls.h; bit 0 marks the end, the rest says which list it was.
template <class Visit>
[[nodiscard]] Walked walk_hlist_nulls(const VirtualMemory& memory, Gva head, std::size_t limit,
                                      Visit&& visit) {
  return detail::walk_hlist<true>(memory, head, limit, std::forward<Visit>(visit));
}

}  // namespace vitrine::linux
