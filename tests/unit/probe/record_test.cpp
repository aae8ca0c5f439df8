#include "probe/record.h"

#include <gtest/gtest.h>

namespace vitrine::probe {
namespace {

Record sample() {
  Record record;
  record.head = {.monotonic_ns = 1,
                 .wall_ns = -2,
                 .sequence = 3,
                 .cpu = 4,
                 .probe = 5,
                 .site = 6,
                 .pid = 7,
                 .tid = 8};
  record.head.set_name("a-name-that-is-longer-than-it-may-be");
  record.values = {Value(ValueView::of(42)), Value(ValueView::of(std::string_view("a\0b", 3))),
                   Value(ValueView::missing()), Value(ValueView::missing(true))};
  return record;
}
std::vector<std::byte> bytes(const Record& record) {
  std::vector<ValueView> views;
  for (const auto& value : record.values) views.push_back(value.view());
  std::vector<std::byte> out(4096);
  out.resize(encode(record.head, views, out));
  return out;
}

TEST(Record, SurvivesTheWay) {
  const auto record = sample();
  EXPECT_EQ(record.head.name(), "a-name-that-is-");
  const auto back = decode(bytes(record));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, record);
}

TEST(Record, EveryCutIsRefused) {
  const auto whole = bytes(sample());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode(Bytes(whole).first(size))) << size;
    auto lying = whole;
    lying.resize(size);
    if (size >= 8) {
      const auto said = static_cast<std::uint32_t>(size);
      std::memcpy(lying.data() + 4, &said, 4);
      EXPECT_FALSE(decode(lying)) << size;
    }
  }
}

TEST(Record, ForgedFieldsAreRefused) {
  const auto whole = bytes(sample());
  const auto with = [&](std::size_t at, std::uint8_t value) {
    auto forged = whole;
    forged[at] = std::byte{value};
    return decode(forged);
  };
  EXPECT_EQ(with(0, 0).error().code, Errc::malformed);
  EXPECT_EQ(with(2, 9).error().code, Errc::unsupported);
  EXPECT_EQ(with(11, 255).error().code, Errc::too_large);
  EXPECT_FALSE(with(8, 3));
  EXPECT_FALSE(with(8, 5));
}

TEST(Record, WhatDoesNotFitIsNotWritten) {
  std::byte little[50];
  EXPECT_EQ(encode({}, {}, little), 0U);
  std::vector<ValueView> many(kMaxRecordValues + 1);
  std::vector<std::byte> room(kMaxRecord);
  EXPECT_EQ(encode({}, many, room), 0U);
  const std::string huge(kMaxRecord, 'x');
  const ValueView value[] = {ValueView::of(std::string_view(huge))};
  EXPECT_EQ(encode({}, value, room), 0U);
}

}  // namespace
}  // namespace vitrine::probe
