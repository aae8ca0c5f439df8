#include "memory/memory_map.h"

#include <gtest/gtest.h>

#include <random>

namespace vitrine {
namespace {

MapSegment segment(std::uint64_t start, std::uint64_t size, std::uint32_t backing = 0,
                   std::uint64_t offset = 0) {
  return {{Gpa{start}, size}, backing, offset};
}

TEST(MemoryMap, SortsDropsEmptyAndJoinsWhatContinues) {
  const auto map =
      MemoryMap::create({segment(0x3000, 0x1000, 1), segment(0x1000, 0x1000, 0, 0x1000),
                         segment(0, 0x1000), segment(0x9000, 0)});
  ASSERT_TRUE(map);
  ASSERT_EQ(map->segments().size(), 2U);
  EXPECT_EQ(map->segments()[0], segment(0, 0x2000));
  EXPECT_EQ(map->ranges()[1], (GpaRange{Gpa{0x3000}, 0x1000}));
}

TEST(MemoryMap, DoesNotJoinAcrossBackingsOrGapsInOne) {
  const auto map = MemoryMap::create(
      {segment(0, 0x1000), segment(0x1000, 0x1000, 1, 0x1000), segment(0x2000, 0x1000, 1, 0x9000)});
  ASSERT_TRUE(map);
  EXPECT_EQ(map->segments().size(), 3U);
}

TEST(MemoryMap, RefusesOverlapAndWrap) {
  EXPECT_EQ(MemoryMap::create({segment(0, 0x2000), segment(0x1fff, 1, 1)}).error().code,
            Errc::malformed);
  EXPECT_EQ(MemoryMap::create({segment(0, 0x2000), segment(0x1fff, 1, 1)}).error().address,
            0x1fffU);
  EXPECT_EQ(MemoryMap::create({segment(0xfffffffffffff000, 0x2000)}).error().code,
            Errc::out_of_bounds);
  EXPECT_EQ(MemoryMap::create({segment(0, UINT64_MAX)}).error().code, Errc::out_of_bounds);
  EXPECT_EQ(MemoryMap::create({segment(0x1000, 0x1000, 0, UINT64_MAX - 1)}).error().code,
            Errc::out_of_bounds);
}

TEST(MemoryMap, FindsAsALinearSearchDoes) {
  std::mt19937_64 random(3);
  std::vector<MapSegment> segments;
  std::uint64_t at = 0x5000;
  for (int i = 0; i < 50; ++i) {
    const auto size = 0x1000 + random() % 0x5000;
    segments.push_back(segment(at, size, static_cast<std::uint32_t>(i)));
    at += size + random() % 3 * 0x1000;
  }
  const auto map = MemoryMap::create(segments);
  ASSERT_TRUE(map);
  for (int i = 0; i < 10000; ++i) {
    const Gpa probe{random() % (at + 0x8000)};
    const MapSegment* truth = nullptr;
    const MapSegment* next = nullptr;
    for (const auto& one : map->segments()) {
      if (one.range.contains(probe)) truth = &one;
      if (next == nullptr && (one.range.contains(probe) || one.range.start > probe)) next = &one;
    }
    ASSERT_EQ(map->find(probe), truth);
    ASSERT_EQ(map->find_from(probe), next);
  }
}

TEST(MemoryMap, PiecesStopAtTheFirstHole) {
  const auto map = MemoryMap::create({segment(0, 0x1000, 0, 0x100), segment(0x1000, 0x1000, 1)});
  ASSERT_TRUE(map);
  std::uint64_t seen = 0;
  const auto count = [&](const MapSegment&, std::uint64_t, std::uint64_t before,
                         std::uint64_t size) -> Result<void> {
    EXPECT_EQ(before, seen);
    seen += size;
    return {};
  };
  EXPECT_TRUE(map->for_each_piece(Gpa{0x800}, 0x1000, count));
  EXPECT_EQ(seen, 0x1000U);
  seen = 0;
  const auto hole = map->for_each_piece(Gpa{0x1800}, 0x1000, count);
  ASSERT_FALSE(hole);
  EXPECT_EQ(hole.error().code, Errc::outside_ram);
  EXPECT_EQ(hole.error().address, 0x2000U);
  EXPECT_TRUE(map->for_each_piece(Gpa{0x5000}, 0, count));  // nothing is asked for
}

}  // namespace
}  // namespace vitrine
