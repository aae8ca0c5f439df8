#include "probe/maps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <thread>

namespace vitrine::probe {
namespace {

using vmipl::Aggregate;
using vmipl::MapInfo;
using vmipl::ValueType;

std::unique_ptr<LocalMaps> make(MapInfo info, MapLimits limits = {}) {
  return std::move(*LocalMaps::create({std::move(info)}, limits));
}

TEST(Maps, AgreesWithAMapOfTheLibrary) {
  const auto maps = make({.name = "m", .keys = {ValueType::integer, ValueType::text}},
                         {.entries = 256, .text_bytes = 1 << 20});
  std::map<std::pair<std::uint64_t, std::string>, std::uint64_t> truth;
  std::mt19937 random(1);
  for (int i = 0; i < 50000; ++i) {
    const std::uint64_t number = random() % 20;
    const std::string text(random() % 10, static_cast<char>('a' + random() % 2));
    const ValueView keys[] = {ValueView::of(number), ValueView::of(text)};
    switch (random() % 4) {
      case 0:
        maps->set(0, keys, static_cast<std::uint64_t>(i));
        truth[{number, text}] = static_cast<std::uint64_t>(i);
        break;
      case 1:
        maps->add(0, keys, 3);
        truth[{number, text}] += 3;
        break;
      case 2:
        maps->remove(0, keys);
        truth.erase({number, text});
        break;
      default: {
        const auto found = truth.find({number, text});
        ASSERT_EQ(maps->get(0, keys),
                  found == truth.end() ? std::nullopt : std::optional(found->second));
      }
    }
    if (truth.size() > 200) {
      maps->clear(0);
      truth.clear();
    }
    ASSERT_EQ(maps->length(0), truth.size());
  }
  EXPECT_EQ(maps->lost(0), 0U);
  const auto rows = maps->snapshot(0);
  ASSERT_EQ(rows.size(), truth.size());
  for (const auto& row : rows)
    EXPECT_EQ((truth[{row.keys[0].number, row.keys[1].text}]), row.value.number);
}

TEST(Maps, WhatFindsNoRoomIsCounted) {
  const auto maps =
      make({.name = "m", .keys = {ValueType::integer}}, {.entries = 4, .text_bytes = 4096});
  for (std::uint64_t i = 0; i < 10; ++i) {
    const ValueView key[] = {ValueView::of(i)};
    maps->set(0, key, i);
  }
  EXPECT_EQ(maps->length(0), 4U);
  EXPECT_EQ(maps->lost(0), 6U);
  const ValueView key[] = {ValueView::of(0)};
  maps->remove(0, key);
  maps->set(0, key, 7);
  EXPECT_EQ(maps->get(0, key), 7U);
  EXPECT_EQ(maps->lost(0), 6U);
}

TEST(Maps, TextsGrowShrinkAndAreCounted) {
  const auto maps =
      make({.name = "m", .value = ValueType::text}, {.entries = 4, .text_bytes = 4096});
  char into[5000];
  EXPECT_EQ(maps->get_text(0, {}, into), std::nullopt);
  for (const std::size_t size : {0, 1, 16, 17, 500, 3, 1000, 2000}) {
    maps->set_text(0, {}, std::string(size, 'x'));
    EXPECT_EQ(maps->get_text(0, {}, into), size);
  }
  EXPECT_EQ(maps->lost(0), 0U);
  maps->set_text(0, {}, std::string(5000, 'y'));
  EXPECT_EQ(maps->lost(0), 1U);
  EXPECT_EQ(maps->get_text(0, {}, into), 2000U) << "the old text stays";
}

TEST(Maps, Aggregations) {
  const std::int64_t values[] = {5, -3, 0, 1000, 7};
  const auto feed = [&](Aggregate aggregate, ValueType type = ValueType::integer,
                        std::int64_t low = 0, std::int64_t high = 0, std::int64_t step = 0) {
    auto maps = make({.name = "m",
                      .value = type,
                      .aggregate = aggregate,
                      .low = low,
                      .high = high,
                      .step = step});
    for (const auto value : values) maps->update(0, {}, static_cast<std::uint64_t>(value));
    return maps;
  };
  EXPECT_EQ(feed(Aggregate::count)->get(0, {}), 5U);
  EXPECT_EQ(feed(Aggregate::sum)->get(0, {}), 1009U);
  EXPECT_EQ(feed(Aggregate::min)->get(0, {}), static_cast<std::uint64_t>(-3));
  EXPECT_EQ(feed(Aggregate::min, ValueType::word)->get(0, {}), 0U);
  EXPECT_EQ(feed(Aggregate::max)->get(0, {}), 1000U);
  EXPECT_EQ(feed(Aggregate::max, ValueType::word)->get(0, {}), static_cast<std::uint64_t>(-3));
  EXPECT_EQ(feed(Aggregate::avg)->get(0, {}), 201U);
  EXPECT_EQ(feed(Aggregate::stats)->get(0, {}), std::nullopt);
  const auto histogram = feed(Aggregate::histogram)->snapshot(0).at(0);
  EXPECT_EQ(histogram.buckets.size(), kHistogramBuckets);
  EXPECT_EQ(histogram.buckets[0], 1U);      // -3
  EXPECT_EQ(histogram.buckets[1], 1U);      // 0
  EXPECT_EQ(histogram.buckets[2 + 2], 2U);  // 5, 7: from 4 to below 8
  EXPECT_EQ(histogram.buckets[2 + 9], 1U);  // 1000: from 512
  EXPECT_EQ(histogram.count, 5U);
  const auto linear = feed(Aggregate::linear, ValueType::integer, 0, 10, 4)->snapshot(0).at(0);
  EXPECT_EQ(linear.buckets,
            (std::vector<std::uint64_t>{1, 1, 2, 0, 1}));  // below, 0..4, 4..8, 8..10, above
  const auto edges =
      make({.name = "m", .value = ValueType::word, .aggregate = Aggregate::histogram});
  edges->update(0, {}, ~0ULL);
  edges->update(0, {}, 1);
  EXPECT_EQ(edges->snapshot(0).at(0).buckets[65], 1U);
  EXPECT_EQ(edges->snapshot(0).at(0).buckets[2], 1U);
}

TEST(Maps, SeveralThreadsLoseNothing) {
  const auto maps =
      make({.name = "m", .keys = {ValueType::integer}, .aggregate = Aggregate::count});
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < 20000; ++i) {
        const ValueView key[] = {ValueView::of(i % 7)};
        maps->update(0, key, 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t total = 0;
  for (const auto& row : maps->snapshot(0)) total += row.count;
  EXPECT_EQ(total, 60000U);
}

TEST(Maps, KeysThatAreTooLongAreCounted) {
  const auto maps = make({.name = "m", .keys = {ValueType::text}});
  const std::string huge(100000, 'k');
  const ValueView key[] = {ValueView::of(std::string_view(huge))};
  maps->set(0, key, 1);
  EXPECT_EQ(maps->get(0, key), std::nullopt);
  EXPECT_EQ(maps->lost(0), 1U);
}

TEST(Maps, RestoredFromASnapshotTheyAreTheSame) {
  for (const auto aggregate : {Aggregate::none, Aggregate::stats, Aggregate::histogram}) {
    const MapInfo info{
        .name = "m", .keys = {ValueType::text, ValueType::integer}, .aggregate = aggregate};
    const auto from = make(info), to = make(info);
    for (std::uint64_t i = 0; i < 100; ++i) {
      const auto text = std::string(i % 30, 'x');
      const ValueView keys[] = {ValueView::of(std::string_view(text)), ValueView::of(i)};
      if (aggregate == Aggregate::none)
        from->set(0, keys, i);
      else
        from->update(0, keys, i);
    }
    to->restore(0, {from->snapshot(0), 3});
    const auto sorted = [](std::vector<MapRow> rows) {
      std::sort(rows.begin(), rows.end(), [](const MapRow& a, const MapRow& b) {
        return a.keys[1].number < b.keys[1].number;
      });
      return rows;
    };
    EXPECT_EQ(sorted(to->snapshot(0)), sorted(from->snapshot(0)));
    EXPECT_EQ(to->lost(0), 3U);
  }
}

// They come out of another process.
TEST(Maps, RowsOfAnotherShapeAreCountedNotTaken) {
  const auto maps = make({.name = "m", .keys = {ValueType::text, ValueType::integer}});
  const Value name = ValueView::of("name"), number = ValueView::of(7);
  const std::vector<MapRow> rows{{.keys = {name, number}, .value = number},
                                 {.keys = {number, number}, .value = number},
                                 {.keys = {name}, .value = number},
                                 {.keys = {name, number, number}, .value = number},
                                 {.keys = {name, Value()}, .value = number}};
  maps->restore(0, {rows, 0});
  EXPECT_EQ(maps->snapshot(0), std::vector<MapRow>{rows.front()});
  EXPECT_EQ(maps->lost(0), 4U);
}

}  // namespace
}  // namespace vitrine::probe
