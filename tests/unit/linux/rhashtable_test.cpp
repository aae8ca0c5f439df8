#include "linux/walk/rhashtable.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "fake_memory.h"

namespace vitrine::linux {
namespace {

using test::FakeMemory;

constexpr RhashtableLayout kLayout{
    .table = 0, .size = 0, .nest = 4, .future = 48, .buckets = 64, .next = 0};
constexpr Gva kHash{0xffff'8880'0200'0000};
constexpr Gva kTable{0xffff'8880'0300'0000};
constexpr Gva kNodes{0xffff'8880'0400'0000};

Gva node(std::uint64_t number) { return kNodes + number * 64; }

void make_table(FakeMemory& memory, Gva table, std::uint32_t size, std::uint32_t nest = 0,
                Gva future = {}) {
  memory.put(table + kLayout.size, size);
  memory.put(table + kLayout.nest, nest);
  memory.put(table + kLayout.future, future);
  for (std::uint32_t i = 0; nest == 0 && i < size; ++i) {
    memory.put(table + kLayout.buckets + i * 8, std::uint64_t{0});
  }
}

/// Chains the nodes into a bucket, which may be locked (bit 0 of its head).
void fill(FakeMemory& memory, Gva bucket, const std::vector<std::uint64_t>& nodes,
          bool locked = false) {
  Gva holder = bucket;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    memory.put(holder, node(nodes[i]).value | (i == 0 && locked ? 1 : 0));
    holder = node(nodes[i]) + kLayout.next;
  }
  if (!nodes.empty()) memory.put(holder, bucket.value | 1);
}

Gva bucket(Gva table, std::uint64_t index) { return table + kLayout.buckets + index * 8; }

std::vector<Gva> visit(const FakeMemory& memory, Walked* walked = nullptr,
                       std::size_t limit = 1000) {
  std::vector<Gva> seen;
  const auto done = walk_rhashtable(memory, kLayout, kHash, limit, [&](Gva at) {
    seen.push_back(at);
    return true;
  });
  EXPECT_EQ(done.visited, seen.size());
  if (walked != nullptr) *walked = done;
  return seen;
}

TEST(WalkRhashtable, VisitsEveryChainAndKnowsALockFromAPointer) {
  FakeMemory memory;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 1024);
  fill(memory, bucket(kTable, 0), {1});
  fill(memory, bucket(kTable, 511), {2, 3}, true);
  fill(memory, bucket(kTable, 1023), {4});
  Walked walked;
  EXPECT_EQ(visit(memory, &walked), (std::vector{node(1), node(2), node(3), node(4)}));
  EXPECT_TRUE(walked.sound());
}

TEST(WalkRhashtable, AnUnusedTableIsEmpty) {
  FakeMemory memory;
  memory.put(kHash, std::uint64_t{0});
  Walked walked;
  EXPECT_TRUE(visit(memory, &walked).empty());
  EXPECT_TRUE(walked.sound());
}

TEST(WalkRhashtable, FollowsEntriesIntoTheTableTheyAreMovedTo) {
  FakeMemory memory;
  const Gva next = kTable + 0x10'000;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 4, 0, next);
  make_table(memory, next, 8);
  fill(memory, bucket(kTable, 3), {1});
  fill(memory, bucket(next, 5), {2});
  EXPECT_EQ(visit(memory), (std::vector{node(1), node(2)}));
}

TEST(WalkRhashtable, CatchesTablesThatLeadToThemselves) {
  FakeMemory memory;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 4, 0, kTable);
  Walked walked;
  visit(memory, &walked);
  ASSERT_TRUE(walked.broken.has_value());
  EXPECT_EQ(walked.broken->code, Errc::cycle);
}

// 4096 buckets, of which the first level serves 8, each 512 buckets of one page.
TEST(WalkRhashtable, WalksNestedTables) {
  FakeMemory memory;
  const Gva top = kTable + 0x10'000;
  const Gva leaf = kTable + 0x20'000;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 4096, 3);
  memory.put(bucket(kTable, 0), top);
  for (std::uint64_t i = 0; i < 8; ++i) memory.put(top + i * 8, i == 6 ? leaf : Gva{});
  for (std::uint64_t i = 0; i < 512; ++i) memory.put(leaf + i * 8, std::uint64_t{0});
  fill(memory, leaf + 8 * 100, {1, 2});
  Walked walked;
  EXPECT_EQ(visit(memory, &walked), (std::vector{node(1), node(2)}));
  EXPECT_TRUE(walked.sound());
}

// One level more: 8 * 512 * 512 buckets.
TEST(WalkRhashtable, WalksTablesNestedTwice) {
  FakeMemory memory;
  const Gva top = kTable + 0x10'000;
  const Gva middle = kTable + 0x20'000;
  const Gva leaf = kTable + 0x30'000;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 8 * 512 * 512, 3);
  memory.put(bucket(kTable, 0), top);
  for (std::uint64_t i = 0; i < 8; ++i) memory.put(top + i * 8, i == 1 ? middle : Gva{});
  for (std::uint64_t i = 0; i < 512; ++i) memory.put(middle + i * 8, i == 511 ? leaf : Gva{});
  for (std::uint64_t i = 0; i < 512; ++i) memory.put(leaf + i * 8, std::uint64_t{0});
  fill(memory, leaf + 8 * 7, {9});
  EXPECT_EQ(visit(memory), (std::vector{node(9)}));
}

TEST(WalkRhashtable, AChainThatEndsInAnotherBucketIsCounted) {
  FakeMemory memory;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 4);
  fill(memory, bucket(kTable, 1), {1, 2});
  memory.put(node(2), bucket(kTable, 2).value | 1);
  Walked walked;
  EXPECT_EQ(visit(memory, &walked).size(), 2U);
  EXPECT_EQ(walked.mismatches, 1U);
}

TEST(WalkRhashtable, AChainThatClosesEnds) {
  FakeMemory memory;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 4);
  fill(memory, bucket(kTable, 1), {1, 2, 3});
  memory.put(node(3), node(2));
  Walked walked;
  visit(memory, &walked);
  ASSERT_TRUE(walked.broken.has_value());
  EXPECT_EQ(walked.broken->code, Errc::cycle);
}

TEST(WalkRhashtable, StopsAtTheLimitAndSaysSo) {
  FakeMemory memory;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 4);
  fill(memory, bucket(kTable, 0), {1, 2});
  fill(memory, bucket(kTable, 1), {3});
  Walked walked;
  EXPECT_EQ(visit(memory, &walked, 2).size(), 2U);
  EXPECT_TRUE(walked.truncated);
  EXPECT_EQ(visit(memory, &walked, 3).size(), 3U);
  EXPECT_FALSE(walked.truncated);
}

TEST(WalkRhashtable, SizesThatNoKernelMakesAreRefused) {
  for (const auto& [size, nest] : {std::pair{3U, 0U}, {0U, 0U}, {8U, 4U}, {8U, 40U}}) {
    FakeMemory memory;
    memory.put(kHash, kTable);
    make_table(memory, kTable, 0);
    memory.put(kTable + kLayout.size, size);
    memory.put(kTable + kLayout.nest, nest);
    Walked walked;
    EXPECT_TRUE(visit(memory, &walked).empty());
    ASSERT_TRUE(walked.broken.has_value()) << size << " " << nest;
    EXPECT_EQ(walked.broken->code, Errc::malformed);
  }
}

TEST(WalkRhashtable, ATableOfBillionsOfBucketsEnds) {
  FakeMemory memory;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 1);
  memory.put(kTable + kLayout.size, std::uint32_t{1} << 31);
  Walked walked;
  visit(memory, &walked);
  EXPECT_TRUE(walked.truncated);
}

TEST(WalkRhashtable, EveryFailingReadIsReportedOrMadeGood) {
  FakeMemory memory;
  memory.put(kHash, kTable);
  make_table(memory, kTable, 8);
  fill(memory, bucket(kTable, 1), {1, 2});
  fill(memory, bucket(kTable, 6), {3});
  std::size_t failed = 0;
  for (std::size_t at = 1;; ++at) {
    memory.reads = 0;
    memory.fail_at = at;
    Walked walked;
    const auto seen = visit(memory, &walked);
    if (memory.reads < at) break;
    ++failed;
    EXPECT_TRUE(walked.broken.has_value() || seen.size() == 3) << at;
  }
  EXPECT_GE(failed, 8U);
}

// Whatever is forged, a walk ends within its bound.
TEST(WalkRhashtable, RandomBytesEnd) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    FakeMemory memory;
    memory.put(kHash, kTable);
    make_table(memory, kTable, 16, static_cast<std::uint32_t>(random() % 5));
    for (std::uint64_t i = 0; i < 64; ++i) {
      const auto pointer = random() % 3 == 0 ? (kTable + random() % 4096).value
                                             : node(random() % 40).value | (random() % 4 == 0);
      memory.put(random() % 2 == 0 ? bucket(kTable, i % 16) : node(random() % 40), pointer);
    }
    Walked walked;
    EXPECT_LE(visit(memory, &walked, 50).size(), 50U);
  }
}

}  // namespace
}  // namespace vitrine::linux
