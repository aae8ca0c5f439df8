#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "fake_memory.h"
#include "linux/net/address.h"
#include "linux/net/hash_table.h"
#include "linux/net/names.h"

namespace vitrine::linux::net {
namespace {

using test::FakeMemory;

TEST(NetAddress, Text) {
  EXPECT_EQ(ipv4_text(0x0100'000a), "10.0.0.1");
  EXPECT_EQ(ipv4_text(0xffff'ffff), "255.255.255.255");
  std::array<std::uint8_t, 16> address{};
  EXPECT_EQ(ipv6_text(address), "::");
  address[15] = 1;
  EXPECT_EQ(ipv6_text(address), "::1");
  address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
  EXPECT_EQ(ipv6_text(address), "::ffff:10.0.0.1");
  EXPECT_EQ(endpoint_text("10.0.0.1", 22), "10.0.0.1:22");
  EXPECT_EQ(endpoint_text("::", 0), "[::]:*");
  EXPECT_EQ(from_big_endian(0x1600), 22);
}

TEST(NetAddress, HardwareAddress) {
  const std::array<std::uint8_t, 6> mac{0x52, 0x54, 0, 0x12, 0x34, 0x56};
  EXPECT_EQ(hardware_address_text(mac), "52:54:00:12:34:56");
  EXPECT_EQ(hardware_address_text({}), "");
}

TEST(NetAddress, UnixNames) {
  using namespace std::string_literals;
  EXPECT_EQ(unix_name("/run/x\0"s), "/run/x");
  EXPECT_EQ(unix_name("/run/x"s), "/run/x");
  EXPECT_EQ(unix_name("\0abc"s), "@abc");
  EXPECT_EQ(unix_name("\0a\0b"s), "@a\0b"s);
  EXPECT_EQ(unix_name("\0"s), "@");
  EXPECT_EQ(unix_name(""), "");
}

TEST(NetNames, KnownAndUnknown) {
  EXPECT_EQ(state_name(10), "LISTEN");
  EXPECT_EQ(state_name(200), "200");
  EXPECT_EQ(ethernet_name(0x0806), "arp");
  EXPECT_EQ(ethernet_name(0x88b5), "0x88b5");
  EXPECT_EQ(interface_flag_names(0x1 | 0x100 | 0x80000),
            (std::vector<std::string>{"UP", "PROMISC", "0x80000"}));
}

constexpr Gva kBuckets{0xffff'8880'0100'0000};
Gva node(std::uint64_t number) { return Gva{0xffff'8880'0200'0000} + number * 64; }

/// A bucket's chain with its back pointers, and its end.
void fill(FakeMemory& memory, Gva head, const std::vector<std::uint64_t>& nodes,
          std::uint64_t end) {
  Gva holder = head;
  for (const auto number : nodes) {
    memory.put(holder, node(number));
    memory.put(node(number) + 8, holder);
    holder = node(number);
  }
  memory.put(holder, end);
}

HashTable make(FakeMemory& memory, std::uint64_t count, bool nulls) {
  const HashTable table{.buckets = kBuckets,
                        .count = count,
                        .stride = 16,
                        .head = 8,
                        .nulls = nulls,
                        .first_mark = nulls ? 100u : 0u};
  for (std::uint64_t i = 0; i < count; ++i) {
    memory.put(kBuckets + i * 16, std::uint64_t{0});
    fill(memory, kBuckets + i * 16 + 8, {}, nulls ? (100 + i) << 1 | 1 : 0);
  }
  return table;
}

Gva head(std::uint64_t index) { return kBuckets + index * 16 + 8; }

std::vector<Gva> visit(const FakeMemory& memory, const HashTable& table, Walked* walked = nullptr,
                       std::size_t limit = 1000, std::size_t* retries = nullptr) {
  std::vector<Gva> seen;
  const auto done = walk_hash_table(
      memory, table, limit,
      [&](Gva at) {
        seen.push_back(at);
        return true;
      },
      retries);
  if (walked != nullptr) *walked = done;
  return seen;
}

TEST(NetHashTable, VisitsPlainChainsInOrderOfBuckets) {
  FakeMemory memory;
  const auto table = make(memory, 3000, false);
  fill(memory, head(0), {1, 2}, 0);
  fill(memory, head(2999), {3}, 0);
  Walked walked;
  EXPECT_EQ(visit(memory, table, &walked), (std::vector{node(1), node(2), node(3)}));
  EXPECT_TRUE(walked.sound());
}

TEST(NetHashTable, VisitsNullsChainsThatEndInTheirOwnMark) {
  FakeMemory memory;
  const auto table = make(memory, 8, true);
  fill(memory, head(5), {1, 2, 3}, 105 << 1 | 1);
  Walked walked;
  std::size_t retries = 0;
  EXPECT_EQ(visit(memory, table, &walked, 1000, &retries).size(), 3U);
  EXPECT_TRUE(walked.sound());
  EXPECT_EQ(retries, 0U);
}

TEST(NetHashTable, AChainThatEndsInAnotherMarkIsReadAgainAndCounted) {
  FakeMemory memory;
  const auto table = make(memory, 8, true);
  fill(memory, head(5), {1, 2}, 106 << 1 | 1);
  Walked walked;
  std::size_t retries = 0;
  EXPECT_EQ(visit(memory, table, &walked, 1000, &retries).size(), 2U);
  EXPECT_EQ(walked.mismatches, 1U);
  EXPECT_EQ(retries, 3U);
}

TEST(NetHashTable, AWrongWayBackIsReadAgainAndCounted) {
  FakeMemory memory;
  const auto table = make(memory, 8, false);
  fill(memory, head(5), {1, 2}, 0);
  memory.put(node(2) + 8, node(7));
  Walked walked;
  EXPECT_EQ(visit(memory, table, &walked).size(), 2U);
  EXPECT_EQ(walked.mismatches, 1U);
}

TEST(NetHashTable, ABucketThatCannotBeReadIsPassedAndNamed) {
  FakeMemory memory;
  auto table = make(memory, 4, false);
  table.count = 600;  // the page after the first is not present
  fill(memory, head(3), {1}, 0);
  Walked walked;
  EXPECT_EQ(visit(memory, table, &walked), (std::vector{node(1)}));
  EXPECT_TRUE(walked.broken.has_value());
}

TEST(NetHashTable, LoopsEndAndAreSaid) {
  FakeMemory memory;
  const auto table = make(memory, 4, false);
  fill(memory, head(1), {1, 2, 3}, 0);
  memory.put(node(3), node(1));
  fill(memory, head(2), {4}, 0);
  Walked walked;
  const auto seen = visit(memory, table, &walked);
  EXPECT_EQ(seen.back(), node(4));  // the next bucket is still read
  ASSERT_TRUE(walked.broken.has_value());
  EXPECT_EQ(walked.broken->code, Errc::cycle);
}

TEST(NetHashTable, StopsAtTheLimitAndSaysSo) {
  FakeMemory memory;
  const auto table = make(memory, 4, false);
  fill(memory, head(1), {1, 2}, 0);
  fill(memory, head(2), {3}, 0);
  Walked walked;
  EXPECT_EQ(visit(memory, table, &walked, 2).size(), 2U);
  EXPECT_TRUE(walked.truncated);
  EXPECT_EQ(visit(memory, table, &walked, 3).size(), 3U);
  EXPECT_FALSE(walked.truncated);
}

TEST(NetHashTable, AbsurdTablesAreRefused) {
  FakeMemory memory;
  for (auto table : {HashTable{.buckets = Gva{0x1000}, .count = 4},
                     HashTable{.buckets = kBuckets, .count = 4, .stride = 4},
                     HashTable{.buckets = kBuckets, .count = 4, .stride = 16, .head = 12}}) {
    Walked walked;
    EXPECT_TRUE(visit(memory, table, &walked).empty());
    EXPECT_TRUE(walked.broken.has_value());
  }
}

TEST(NetHashTable, AFailingReadCostsWhatItHadAndIsSaid) {
  FakeMemory memory;
  const auto table = make(memory, 8, true);
  fill(memory, head(1), {1, 2}, 101 << 1 | 1);
  fill(memory, head(6), {3}, 106 << 1 | 1);
  std::size_t failed = 0;
  for (std::size_t at = 1;; ++at) {
    memory.reads = 0;
    memory.fail_at = at;
    Walked walked;
    std::size_t retries = 0;
    const auto seen = visit(memory, table, &walked, 1000, &retries);
    if (memory.reads < at) break;  // this read was not needed
    ++failed;
    // Read again, or bucket by bucket: nothing is lost to one failure, and nothing is told twice.
    EXPECT_EQ(seen, (std::vector{node(1), node(2), node(3)})) << at;
  }
  EXPECT_EQ(failed, 4U);  // the buckets, and each of three entries
}

TEST(NetHashTable, RandomPointersEnd) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 300; ++round) {
    FakeMemory memory;
    const auto table = make(memory, 16, round % 2 == 0);
    for (std::uint64_t i = 0; i < 64; ++i) {
      memory.put(random() % 2 == 0 ? head(i % 16) : node(random() % 40),
                 node(random() % 40).value | (random() % 8 == 0));
    }
    EXPECT_LE(visit(memory, table, nullptr, 50).size(), 50U);
  }
}

}  // namespace
}  // namespace vitrine::linux::net
