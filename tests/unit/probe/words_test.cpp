#include "probe/words.h"

#include <gtest/gtest.h>

#include "probe/map_words.h"
#include "probe/record_words.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

using vmipl::Aggregate;
using vmipl::ValueType;

const TextRules kRules = complete({});

std::string formatted(std::string_view format,
                      std::vector<std::pair<ValueView, ValueType>> values) {
  std::vector<Value> owned;
  std::vector<ValueType> types;
  for (const auto& [value, type] : values) owned.emplace_back(value), types.push_back(type);
  return format_text(format, owned, types, kRules);
}
std::string one(std::string_view format, std::uint64_t value, ValueType type = ValueType::integer) {
  return formatted(format, {{ValueView::of(value), type}});
}
std::string text(std::string_view format, std::string_view value,
                 ValueType type = ValueType::text) {
  return formatted(format, {{ValueView::of(value), type}});
}
constexpr auto kMinusOne = ~0ULL;

TEST(Words, NumbersAsCPrintsThem) {
  EXPECT_EQ(one("%d", 42), "42");
  EXPECT_EQ(one("%d", kMinusOne), "-1");
  EXPECT_EQ(one("%d", kMinusOne, ValueType::word), "18446744073709551615");
  EXPECT_EQ(one("%u", kMinusOne), "18446744073709551615");
  EXPECT_EQ(one("%5d|", 42), "   42|");
  EXPECT_EQ(one("%-5d|", 42), "42   |");
  EXPECT_EQ(one("%05d|", 42), "00042|");
  EXPECT_EQ(one("%05d|", kMinusOne), "-0001|");
  EXPECT_EQ(one("%+d", 42), "+42");
  EXPECT_EQ(one("% d", 42), " 42");
  EXPECT_EQ(one("%.4d", 42), "0042");
  EXPECT_EQ(one("%x %%", 0xbeef), "beef %");
  EXPECT_EQ(one("%#X", 0xbeef), "0XBEEF");
  EXPECT_EQ(one("%#010x", 0xbeef), "0x0000beef");
  EXPECT_EQ(one("%o", 8), "10");
  EXPECT_EQ(one("%b", 5), "101");
  EXPECT_EQ(one("%p", 0xffff888000000000), "0xffff888000000000");
  EXPECT_EQ(one("%c", 'x'), "x");
  EXPECT_EQ(one("%c", 0x1b), "\\x1b");
  EXPECT_EQ(one("%d", 1500, ValueType::duration), "1500");
  EXPECT_EQ(one("%t", 0, ValueType::time), "1970-01-01T00:00:00.000000Z");
}

TEST(Words, AnythingByS) {
  EXPECT_EQ(text("%s|%%", "abc"), "abc|%");
  EXPECT_EQ(text("%6s|", "abc"), "   abc|");
  EXPECT_EQ(text("%-6s|", "abc"), "abc   |");
  EXPECT_EQ(text("%.2s|", "abc"), "ab|");
  EXPECT_EQ(text("%s", std::string_view("\x1b[2J\n\0", 6)), "\\x1b[2J\\x0a\\x00")
      << "a guest does not speak to the terminal";
  EXPECT_EQ(text("%x", "\x01\xfe", ValueType::bytes), "01fe");
  EXPECT_EQ(text("%s", std::string_view("a\0bc\0", 5), ValueType::list), "a, bc");
  EXPECT_EQ(one("%s", 1, ValueType::boolean), "true");
  EXPECT_EQ(one("%s", 0xffffffff81000000, ValueType::address), "0xffffffff81000000");
  EXPECT_EQ(one("%s", 1'500'000, ValueType::duration), "1.5ms");
  EXPECT_EQ(formatted("%s %d %5s|", {{ValueView::missing(true), ValueType::text},
                                     {ValueView::missing(), ValueType::integer},
                                     {ValueView::missing(), ValueType::address}}),
            "? ?     ?|");
  const std::uint64_t frames[] = {0x1000, 0x2000};
  EXPECT_EQ(
      text("%s", std::string_view(reinterpret_cast<const char*>(frames), 16), ValueType::stack),
      "\n    0x1000\n    0x2000");
  EXPECT_EQ(formatted("%d %d", {{ValueView::of(1), ValueType::integer}}), "1 ?")
      << "a forged program";
  EXPECT_EQ(formatted("%", {}), "");
}

TEST(Words, Durations) {
  EXPECT_EQ(duration_words(0), "0ns");
  EXPECT_EQ(duration_words(999), "999ns");
  EXPECT_EQ(duration_words(1024), "1.02us");
  EXPECT_EQ(duration_words(12'340), "12.3us");
  EXPECT_EQ(duration_words(123'456), "123us");
  EXPECT_EQ(duration_words(-1'500'000), "-1.5ms");
  EXPECT_EQ(duration_words(2'000'000'000), "2s");
  EXPECT_EQ(duration_words(125'000'000'000), "2m05s");
  EXPECT_EQ(duration_words(3'661'000'000'000), "1h01m");
  EXPECT_EQ(duration_words(90'000'000'000'000), "1d01h");
  EXPECT_EQ(duration_words(INT64_MIN), "-106751d23h");
}

TEST(Words, Json) {
  const auto json = [](ValueView value, ValueType type) {
    std::string out;
    (void)append_json(out, value, type, kRules);
    return out;
  };
  EXPECT_EQ(json(ValueView::of(kMinusOne), ValueType::integer), "-1");
  EXPECT_EQ(json(ValueView::of(kMinusOne), ValueType::word), "\"18446744073709551615\"")
      << "beyond what JSON's numbers hold";
  EXPECT_EQ(json(ValueView::of(0x1000), ValueType::address), "\"0x0000000000001000\"");
  EXPECT_EQ(json(ValueView::of(1'500'000'000), ValueType::duration), "1.500000000");
  EXPECT_EQ(json(ValueView::of(kMinusOne), ValueType::duration), "-0.000000001");
  EXPECT_EQ(json(ValueView::of(kMinusOne), ValueType::time), "\"1969-12-31T23:59:59.999999999Z\"");
  EXPECT_EQ(json(ValueView::of(std::string_view("\x01\xfe")), ValueType::bytes), "\"01fe\"");
  EXPECT_EQ(json(ValueView::of(std::string_view("a\0b\0", 4)), ValueType::list), "[\"a\",\"b\"]");
  EXPECT_EQ(json(ValueView::missing(), ValueType::integer), "null");
  EXPECT_EQ(json(ValueView::of(std::string_view("q\"\\\n")), ValueType::text),
            "\"q\\\"\\\\\\u000a\"");
}

MapRow row(std::string_view key, std::uint64_t value) {
  MapRow made;
  made.keys.emplace_back(ValueView::of(key));
  made.value = Value(ValueView::of(value));
  return made;
}

TEST(MapWords, Tables) {
  const vmipl::MapInfo map{.name = "m", .keys = {ValueType::text}};
  EXPECT_EQ(map_words(map, {row("b", 5), row("long name", 12), row("a", 5)}, {}, 0, {}),
            "@m:\n  long name  12\n  a           5\n  b           5\n");
  EXPECT_EQ(map_words(map, {row("b", 5), row("a", 12)}, 1, 3, {}),
            "@m:\n  a  12\n  (1 more)\n  (3 changes found no room and are lost)\n");
  // Stacks stand behind what is counted, a line for each frame.
  const vmipl::MapInfo stacks{.name = "m", .keys = {ValueType::stack}};
  const std::string_view two("\x10\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0", 16);
  EXPECT_EQ(map_words(stacks, {row(two, 5), row(two.substr(8), 12)}, {}, 0, {}),
            "@m:\n  12  0x20\n   5  0x10\n      0x20\n");
  EXPECT_EQ(map_words(map, {}, {}, 0, {}), "@m: empty\n");
  MapRow alone;
  alone.value = Value(ValueView::of(7));
  EXPECT_EQ(map_words({.name = "total"}, {alone}, {}, 0, {}), "@total: 7\n");
}

TEST(MapWords, Bars) {
  MapRow one;
  one.count = 7;
  one.sum = 70;
  one.buckets.assign(kHistogramBuckets, 0);
  one.buckets[0] = 1;
  one.buckets[2] = 4;
  one.buckets[3] = 2;
  EXPECT_EQ(
      map_words({.name = "h", .aggregate = Aggregate::histogram}, {one}, {}, 0, {.width = 40}),
      "@h: 7 values, mean 10\n  ( , 0)  1  " + std::string(6, '@') +
          "\n  [0, 1)  0\n  [1, 2)  4  " + std::string(27, '@') + "\n  [2, 4)  2  " +
          std::string(13, '@') + "\n");
  MapRow linear;
  linear.count = 3;
  linear.buckets = {0, 1, 2, 0};
  EXPECT_EQ(map_words({.name = "l", .aggregate = Aggregate::linear, .low = 0, .high = 5, .step = 4},
                      {linear}, {}, 0, {.width = 30}),
            "@l: 3 values, mean 0\n  [0, 4)  1  " + std::string(8, '@') + "\n  [4, 5)  2  " +
                std::string(17, '@') + "\n");
}

TEST(MapWords, JsonOfHistogramsHasTheBounds) {
  MapRow one;
  one.count = 1;
  one.sum = one.least = one.greatest = 5;
  one.buckets.assign(kHistogramBuckets, 0);
  one.buckets[4] = 1;
  std::string out;
  EXPECT_TRUE(
      append_map_json(out, {.name = "h", .aggregate = Aggregate::histogram}, {one}, {}, 0, {}));
  EXPECT_EQ(out,
            "\"map\":\"h\",\"aggregation\":\"histogram\",\"entries\":[{\"key\":[],\"value\":{"
            "\"count\":1,\"min\":5,\"max\":5,\"mean\":5,\"sum\":5,\"buckets\":[{\"from\":4,\"to\":"
            "8,\"count\":1}]}}],\"left_out\":0,\"lost\":0");
}

}  // namespace
}  // namespace vitrine::probe
