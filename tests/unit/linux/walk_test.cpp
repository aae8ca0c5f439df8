#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "fake_memory.h"
#include "linux/walk/list.h"
#include "linux/walk/maple_tree.h"
#include "linux/walk/rb_tree.h"
#include "linux/walk/xarray.h"
#include "support/btf_builder.h"

namespace vitrine::linux {
namespace {

using test::FakeMemory;

constexpr Gva kBase{0xffff'8880'0100'0000};

Gva node(std::uint64_t number) { return kBase + number * 256; }

void link_list(FakeMemory& memory, std::initializer_list<std::uint64_t> ring) {
  const std::vector<std::uint64_t> nodes(ring);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto next = nodes[(i + 1) % nodes.size()];
    memory.put(node(nodes[i]), node(next));
    memory.put(node(next) + 8, node(nodes[i]));
  }
}

std::vector<Gva> list_of(const FakeMemory& memory, Gva head, Walked* walked = nullptr,
                         std::size_t limit = 100) {
  std::vector<Gva> seen;
  const auto done = walk_list(memory, head, limit, [&](Gva at) {
    seen.push_back(at);
    return true;
  });
  EXPECT_EQ(done.visited, seen.size());
  if (walked != nullptr) *walked = done;
  return seen;
}

TEST(WalkList, VisitsAllButTheHead) {
  FakeMemory memory;
  link_list(memory, {0, 5, 2, 9});
  Walked walked;
  EXPECT_EQ(list_of(memory, node(0), &walked), (std::vector{node(5), node(2), node(9)}));
  EXPECT_TRUE(walked.sound());
}

TEST(WalkList, AnEmptyListIsSound) {
  FakeMemory memory;
  link_list(memory, {0});
  Walked walked;
  EXPECT_TRUE(list_of(memory, node(0), &walked).empty());
  EXPECT_TRUE(walked.sound());
}

TEST(WalkList, StopsAtTheLimitAndSaysSo) {
  FakeMemory memory;
  link_list(memory, {0, 1, 2, 3});
  Walked walked;
  EXPECT_EQ(list_of(memory, node(0), &walked, 2).size(), 2U);
  EXPECT_TRUE(walked.truncated);
  EXPECT_EQ(list_of(memory, node(0), &walked, 3).size(), 3U);
  EXPECT_FALSE(walked.truncated);
}

TEST(WalkList, CatchesALoopThatMissesTheHead) {
  FakeMemory memory;
  link_list(memory, {0, 1, 2, 3});
  memory.put(node(3), node(2));
  Walked walked;
  EXPECT_LE(list_of(memory, node(0), &walked).size(), 9U);
  ASSERT_TRUE(walked.broken);
  EXPECT_EQ(walked.broken->code, Errc::cycle);
}

TEST(WalkList, PassesANodeThatIsBeingUnlinked) {
  FakeMemory memory;
  link_list(memory, {0, 1, 2, 3});
  // list_del_rcu(2), stopped between its two stores: 3 names 1, 1 still names 2.
  memory.put(node(3) + 8, node(1));
  Walked walked;
  EXPECT_EQ(list_of(memory, node(0), &walked).size(), 3U);
  EXPECT_TRUE(walked.complete());
  EXPECT_EQ(walked.mismatches, 1U);
}

TEST(WalkList, APoisonedPointerEndsIt) {
  FakeMemory memory;
  link_list(memory, {0, 1, 2});
  memory.put(node(1), std::uint64_t{0xdead'0000'0000'0100});
  Walked walked;
  EXPECT_EQ(list_of(memory, node(0), &walked).size(), 1U);
  ASSERT_TRUE(walked.broken);
  EXPECT_EQ(walked.broken->code, Errc::malformed);
  EXPECT_EQ(walked.broken->address, node(1).value);
}

TEST(WalkList, EveryFailingReadIsReported) {
  FakeMemory memory;
  link_list(memory, {0, 1, 2, 3});
  for (std::size_t nth = 1; nth <= 4; ++nth) {
    memory.reads = 0;
    memory.fail_at = nth;
    Walked walked;
    EXPECT_EQ(list_of(memory, node(0), &walked).size(), nth < 2 ? 0 : nth - 2);
    ASSERT_TRUE(walked.broken) << nth;
    EXPECT_EQ(walked.broken->code, Errc::not_present);
  }
}

TEST(WalkChain, EndsAtZeroAndCatchesLoops) {
  FakeMemory memory;
  memory.put(node(1) + 16, node(2));
  memory.put(node(2) + 16, node(3));
  memory.put(node(3) + 16, std::uint64_t{0});
  std::size_t seen = 0;
  const auto count = [&](Gva) { return ++seen < 50; };
  EXPECT_TRUE(walk_chain(memory, node(1), 16, 10, count).sound());
  EXPECT_EQ(seen, 3U);
  EXPECT_TRUE(walk_chain(memory, Gva{}, 16, 10, count).sound());
  memory.put(node(3) + 16, node(3));
  const auto walked = walk_chain(memory, node(1), 16, 40, count);
  ASSERT_TRUE(walked.broken);
  EXPECT_EQ(walked.broken->code, Errc::cycle);
}

TEST(WalkHlist, FollowsPlainAndNullsLists) {
  FakeMemory memory;
  memory.put(node(0), node(1));
  memory.put(node(1), node(2));
  memory.put(node(1) + 8, node(0));
  memory.put(node(2), std::uint64_t{0});
  memory.put(node(2) + 8, node(1));
  std::vector<Gva> seen;
  const auto keep = [&](Gva at) {
    seen.push_back(at);
    return true;
  };
  EXPECT_TRUE(walk_hlist(memory, node(0), 10, keep).sound());
  EXPECT_EQ(seen, (std::vector{node(1), node(2)}));
  memory.put(node(2), std::uint64_t{77});
  EXPECT_EQ(walk_hlist(memory, node(0), 10, keep).broken->code, Errc::malformed);
  seen.clear();
  EXPECT_TRUE(walk_hlist_nulls(memory, node(0), 10, keep).sound());
  EXPECT_EQ(seen.size(), 2U);
  memory.put(node(2) + 8, node(0));
  EXPECT_EQ(walk_hlist_nulls(memory, node(0), 10, keep).mismatches, 1U);
}

/// A perfect binary search tree over [low, high), nodes named by their number.
Gva build_rb(FakeMemory& memory, std::uint64_t low, std::uint64_t high, Gva parent) {
  if (low >= high) return {};
  const auto middle = low + (high - low) / 2;
  memory.put(node(middle), parent.value | (middle & 1));  // colour varies
  memory.put(node(middle) + 8, build_rb(memory, middle + 1, high, node(middle)));
  memory.put(node(middle) + 16, build_rb(memory, low, middle, node(middle)));
  return node(middle);
}

TEST(WalkRbTree, VisitsInOrder) {
  for (const std::uint64_t size : {0, 1, 2, 3, 7, 100}) {
    FakeMemory memory;
    memory.put(node(1000), build_rb(memory, 0, size, {}));
    std::vector<Gva> seen;
    const auto walked = walk_rb_tree(memory, node(1000), 1000, [&](Gva at) {
      seen.push_back(at);
      return true;
    });
    EXPECT_TRUE(walked.sound());
    ASSERT_EQ(seen.size(), size);
    for (std::uint64_t i = 0; i < size; ++i) EXPECT_EQ(seen[i], node(i));
  }
}

TEST(WalkRbTree, ALoopCannotBeEntered) {
  FakeMemory memory;
  memory.put(node(1000), build_rb(memory, 0, 15, {}));
  memory.put(node(14) + 8, node(7));  // the rightmost leads back to the root
  std::size_t seen = 0;
  const auto walked = walk_rb_tree(memory, node(1000), 1000, [&](Gva) { return ++seen < 500; });
  EXPECT_EQ(seen, 15U);
  ASSERT_TRUE(walked.broken);
  EXPECT_EQ(walked.broken->code, Errc::torn);
  memory.put(node(14) + 8, node(14));
  seen = 0;
  EXPECT_TRUE(walk_rb_tree(memory, node(1000), 1000, [&](Gva) { return ++seen < 500; }).broken);
  EXPECT_EQ(seen, 15U);
  EXPECT_TRUE(walk_rb_tree(memory, node(1000), 5, [](Gva) { return true; }).truncated);
}

/// An XArray as the kernel lays it out, built from the bottom.
struct XArrayLab {
  FakeMemory memory;
  std::uint64_t used = 0;
  unsigned bits = 6;  // of index that a node's slots tell apart

  std::uint64_t build(const std::map<std::uint64_t, std::uint64_t>& entries, unsigned shift,
                      std::uint64_t base = 0) {
    const Gva at = kBase + 576 * used++;
    memory.write(at, std::vector<std::byte>(576));
    memory.put(at, static_cast<std::uint8_t>(shift));
    for (std::uint64_t slot = 0; slot < (1U << bits); ++slot) {
      const auto low = base + (slot << shift);
      const auto high = low + (1ULL << shift);
      const auto first = entries.lower_bound(low);
      if (first == entries.end() || first->first >= high) continue;
      const auto value = shift == 0 ? first->second : build(entries, shift - bits, low);
      memory.put(at + 40 + 8 * slot, value);
    }
    return at.value + 2;
  }
};

TEST(WalkXArray, VisitsEveryEntryInOrder) {
  const std::map<std::uint64_t, std::uint64_t> entries{
      {0, node(0).value},    {1, 3},     {63, node(1).value}, {64, 7}, {4095, 9},
      {4096, node(2).value}, {262143, 5}};
  XArrayLab lab;
  const auto head = lab.build(entries, 12);
  std::map<std::uint64_t, std::uint64_t> seen;
  std::uint64_t last = 0;
  const auto walked =
      walk_xarray(lab.memory, {}, head, 100, [&](std::uint64_t index, std::uint64_t entry) {
        EXPECT_TRUE(seen.empty() || index > last);
        last = index;
        seen[index] = entry;
        return true;
      });
  EXPECT_TRUE(walked.sound());
  EXPECT_EQ(seen, entries);
}

TEST(WalkXArray, NodesAreAsTheKernelsTypesSay) {
  EXPECT_EQ(XArrayLayout::of(TypeCatalogue()).slot_count, 64U);
  test::BtfBuilder types;  // CONFIG_BASE_SMALL: 16 slots
  const auto byte = types.integer("unsigned char", 1);
  types.structure(
      "xa_node", 168,
      {{"shift", byte, 0}, {"slots", types.array(types.integer("unsigned long", 8), 16), 320}});
  const auto layout = XArrayLayout::of(TypeCatalogue(*btf::Btf::parse(types.build())));
  EXPECT_EQ(layout.slots, 40U);
  EXPECT_EQ(layout.slot_count, 16U);
  const std::map<std::uint64_t, std::uint64_t> entries{{0, 3}, {15, 5}, {16, 7}, {4095, 9}};
  XArrayLab lab;
  lab.bits = 4;
  const auto head = lab.build(entries, 8);
  std::map<std::uint64_t, std::uint64_t> seen;
  EXPECT_TRUE(walk_xarray(lab.memory, layout, head, 100, [&](std::uint64_t index, std::uint64_t e) {
                seen[index] = e;
                return true;
              }).sound());
  EXPECT_EQ(seen, entries);
  EXPECT_EQ(find_in_xarray(lab.memory, layout, head, 4095), 9U);
  EXPECT_EQ(find_in_xarray(lab.memory, layout, head, 17), 0U);
}

TEST(WalkXArray, ASingleEntryNeedsNoNode) {
  FakeMemory memory;
  std::uint64_t seen = 0;
  const auto keep = [&](std::uint64_t, std::uint64_t entry) {
    seen = entry;
    return true;
  };
  EXPECT_TRUE(walk_xarray(memory, {}, 0, 10, keep).sound());
  EXPECT_EQ(seen, 0U);
  EXPECT_EQ(walk_xarray(memory, {}, node(1).value, 10, keep).visited, 1U);
  EXPECT_EQ(seen, node(1).value);
  EXPECT_EQ(walk_xarray(memory, {}, 256 << 2 | 2, 10, keep).visited, 0U);  // XA_RETRY_ENTRY
}

TEST(WalkXArray, ForgedNodesEndTheWalk) {
  XArrayLab lab;
  const auto head = lab.build({{0, 3}, {64, 5}, {4096, 7}}, 12);
  std::size_t seen = 0;
  const auto count = [&](std::uint64_t, std::uint64_t) { return ++seen < 1000; };
  lab.memory.put(kBase + 40 + 8, head);  // the root is its own child
  const auto looped = walk_xarray(lab.memory, {}, head, 100, count);
  ASSERT_TRUE(looped.broken);
  EXPECT_EQ(looped.broken->code, Errc::cycle);
  EXPECT_EQ(seen, 2U);
  // Every slot of every level leads to one shared node: 64^3 entries, if it were believed.
  for (unsigned level = 0; level < 3; ++level) {
    for (std::uint64_t slot = 0; slot < 64; ++slot) {
      const Gva at = kBase + 576 * level;
      const auto child = level == 2 ? 3 : (at + 576).value + 2;
      lab.memory.put(at + 40 + 8 * slot, child);
    }
    lab.memory.put(kBase + 576 * level, static_cast<std::uint8_t>(12 - 6 * level));
  }
  EXPECT_TRUE(
      walk_xarray(lab.memory, {}, kBase.value + 2, 100, [](auto, auto) { return true; }).truncated);
}

/// Two levels: an arange_64 root over leaf_64 nodes of three ranges each.
struct MapleLab {
  FakeMemory memory;
  std::uint64_t root = 0;
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> truth;

  static std::uint64_t pointer(Gva node, unsigned type) { return node.value | type << 3 | 2 | 4; }

  MapleLab() {
    const Gva top = node(0);
    memory.write(top, std::vector<std::byte>(256 * 20));
    memory.put(top, node(100).value | 1);  // its parent is the tree
    std::uint64_t min = 0;
    for (std::uint64_t i = 0; i < 3; ++i) {
      const Gva leaf = node(i + 1);
      memory.put(leaf, top.value | 2);
      const std::uint64_t max = i == 2 ? UINT64_MAX : (i + 1) * 0x10000 - 1;
      // [min, min+0xfff] entry, a gap, [min+0x3000, min+0x4fff] entry, the rest a gap.
      const std::uint64_t pivots[] = {min + 0xfff, min + 0x2fff, min + 0x4fff, max};
      const std::uint64_t slots[] = {node(50 + i).value, 0, node(60 + i).value, 0};
      for (std::uint64_t s = 0; s < 4; ++s) {
        // The last leaf ends with pivot 0, as nodes that reach the end of the range may.
        memory.put(leaf + 8 + 8 * s, i == 2 && s == 3 ? 0 : pivots[s]);
        memory.put(leaf + 128 + 8 * s, slots[s]);
      }
      truth[min] = {min + 0xfff, node(50 + i).value};
      truth[min + 0x3000] = {min + 0x4fff, node(60 + i).value};
      if (i < 2) memory.put(top + 8 + 8 * i, max);
      memory.put(top + 80 + 8 * i, pointer(leaf, 1));
      min = max + 1;
    }
    memory.put(top + 8 + 16, UINT64_MAX);
    root = pointer(top, 3);
  }
};

TEST(WalkMapleTree, VisitsTheRanges) {
  MapleLab lab;
  decltype(lab.truth) seen;
  const auto walked =
      walk_maple_tree(lab.memory, {}, lab.root, 100, [&](auto first, auto last, auto entry) {
        seen[first] = {last, entry};
        return true;
      });
  EXPECT_TRUE(walked.sound());
  EXPECT_EQ(seen, lab.truth);
}

TEST(WalkMapleTree, ForgedNodesEndTheWalk) {
  const auto all = [](auto, auto, auto) { return true; };
  {
    MapleLab lab;  // the first child is the root itself
    lab.memory.put(node(0) + 80, lab.root);
    const auto walked = walk_maple_tree(lab.memory, {}, lab.root, 100, all);
    ASSERT_TRUE(walked.broken);
    EXPECT_EQ(walked.broken->code, Errc::cycle);
  }
  {
    MapleLab lab;  // pivots that run backwards
    lab.memory.put(node(2) + 16, std::uint64_t{1});
    EXPECT_EQ(walk_maple_tree(lab.memory, {}, lab.root, 100, all).broken->code, Errc::malformed);
  }
  {
    MapleLab lab;  // a node that was replaced while we walked
    lab.memory.put(node(2), node(2));
    const auto walked = walk_maple_tree(lab.memory, {}, lab.root, 100, all);
    EXPECT_EQ(walked.broken->code, Errc::torn);
    EXPECT_EQ(walked.visited, 2U);
  }
  {
    MapleLab lab;
    EXPECT_TRUE(walk_maple_tree(lab.memory, {}, lab.root, 3, all).truncated);
  }
}

TEST(WalkMapleTree, EveryFailingReadIsReported) {
  MapleLab lab;
  for (std::size_t nth = 1; nth <= 4; ++nth) {
    lab.memory.reads = 0;
    lab.memory.fail_at = nth;
    const auto walked =
        walk_maple_tree(lab.memory, {}, lab.root, 100, [](auto, auto, auto) { return true; });
    ASSERT_TRUE(walked.broken);
    EXPECT_EQ(walked.broken->code, Errc::not_present);
  }
}

}  // namespace
}  // namespace vitrine::linux
