// Walker of red-black trees, in order.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "base/address.h"
#include "linux/walk/walk.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// Visits the rb_nodes below `root` (the address of the rb_root; of an rb_root_cached
/// too, which starts with one), from the leftmost to the rightmost.
///
/// A node that does not name its parent is not entered: the tree is being rotated, or
/// was forged, and `broken` (torn) says where. So no node is visited twice.
/// Cost: one read of 24 bytes a node.
/// Source: struct rb_node in include/linux/rbtree_types.h: __rb_parent_color (the
/// parent's address, colour in bit 0), rb_right, rb_left; since 2.6.18 at least.
template <class Visit>
[[nodiscard]] Walked walk_rb_tree(const VirtualMemory& memory, Gva root, std::size_t limit,
                                  Visit&& visit) {
  // A red-black tree of n nodes is at most 2 log2(n + 1) deep.
  constexpr std::size_t kMaxDepth = 128;
  struct Node {
    Gva at;
    Gva right;
    std::size_t depth;
  };
  Walked walked;
  std::array<Node, kMaxDepth> stack;
  std::size_t height = 0;

  const auto top = memory.load<std::uint64_t>(root);
  if (!top) {
    walked.broken = top.error();
    return walked;
  }
  Gva at{*top};
  Gva parent;
  std::size_t depth = 0;
  std::size_t entered = 0;
  while (at || height > 0) {
    while (at) {
      if (depth == kMaxDepth) {
        walked.broken = Error{Errc::cycle, at.value, "rb_node"};
        return walked;
      }
      if (!is_kernel_pointer(at)) {
        walked.broken = Error{Errc::malformed, parent.value, "rb_node"};
        return walked;
      }
      if (entered++ == limit) {
        walked.truncated = true;
        return walked;
      }
      const auto node = memory.load<std::array<std::uint64_t, 3>>(at);
      if (!node) {
        walked.broken = node.error();
        return walked;
      }
      if (((*node)[0] & ~std::uint64_t{3}) != parent.value) {
        walked.broken = Error{Errc::torn, at.value, "rb_node.__rb_parent_color"};
        return walked;
      }
      stack[height++] = {at, Gva{(*node)[1]}, depth++};
      parent = at;
      at = Gva{(*node)[2]};
    }
    const Node node = stack[--height];
    ++walked.visited;
    if (!visit(node.at)) {
      walked.stopped = true;
      return walked;
    }
    parent = node.at;
    at = node.right;
    depth = node.depth + 1;
  }
  return walked;
}

}  // namespace vitrine::linux
