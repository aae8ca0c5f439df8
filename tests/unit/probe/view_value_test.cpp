// What a program sees of a view's value.
#include "probe/view_value.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

namespace vitrine::probe {
namespace {

TEST(ViewValue, NumbersOfEachKind) {
  const linux::Value flag = true, minus = std::int64_t{-3}, word = ~std::uint64_t{0};
  EXPECT_EQ(number_of(&flag), 1U);
  EXPECT_EQ(number_of(&minus), static_cast<std::uint64_t>(-3));
  EXPECT_EQ(number_of(&word), ~std::uint64_t{0});
}

TEST(ViewValue, WhatIsNoNumberAndWhatIsNotThere) {
  const linux::Value text = std::string("7"), missing = linux::Missing{};
  EXPECT_FALSE(number_of(&text));
  EXPECT_FALSE(number_of(&missing));
  EXPECT_FALSE(number_of(nullptr));
  std::array<char, 8> into{};
  const linux::Value number = std::int64_t{7};
  EXPECT_FALSE(text_of(&number, into));
  EXPECT_FALSE(text_of(&missing, into));
  EXPECT_FALSE(text_of(nullptr, into));
}

TEST(ViewValue, TextAndListsAreCutToTheRoom) {
  const linux::Value text = std::string("abcdef"), list = std::vector<std::string>{"ab", "", "cd"};
  std::array<char, 5> into{};
  ASSERT_EQ(text_of(&text, into), 5U);
  EXPECT_EQ(std::string_view(into.data(), 5), "abcde");
  ASSERT_EQ(text_of(&list, into), 5U);
  EXPECT_EQ(std::string_view(into.data(), 5), std::string_view("ab\0\0c", 5));
  std::array<char, 16> wide{};
  EXPECT_EQ(text_of(&list, wide), 7U);
}

}  // namespace
}  // namespace vitrine::probe
