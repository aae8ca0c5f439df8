// SymbolTable: names and addresses, wherever they lie, and the memory that the cache keeps of it.
#include <gtest/gtest.h>

#include "linux/symbols.h"

using namespace vitrine;
using linux::SymbolTable;

namespace {

constexpr std::uint64_t kText = 0xffff'ffff'8100'0000, kElsewhere = 0xffff'8880'1234'5000;

SymbolTable table() {
  SymbolTable::Builder builder;
  const auto module = builder.module("ext4");
  builder.add(kText, 'T', "_text");
  builder.add(kText, 'T', "startup_64");
  builder.add(0x1'f000, 'D', "per_cpu_thing");
  builder.add(kElsewhere, 'b', "far_away");
  builder.add(0x7fff'ffff, 'A', "last_low");
  builder.add(0x8000'0000, 'A', "not_low");  // extended it would be another
  builder.add(0xffff'ffff'c000'1000, 't', "ext4_readdir", module);
  return std::move(builder).build();
}

TEST(SymbolTable, EachAddressIsKeptWholeWhereverItLies) {
  const auto symbols = table();
  EXPECT_EQ(symbols.find("_text"), Gva{kText});
  EXPECT_EQ(symbols.find("per_cpu_thing"), Gva{0x1'f000});
  EXPECT_EQ(symbols.find("far_away"), Gva{kElsewhere});
  EXPECT_EQ(symbols.find("last_low"), Gva{0x7fff'ffff});
  EXPECT_EQ(symbols.find("not_low"), Gva{0x8000'0000});
  EXPECT_FALSE(symbols.find("missing"));
  for (std::size_t i = 1; i < symbols.size(); ++i)
    EXPECT_LE(symbols.at(i - 1).address, symbols.at(i).address);
}

TEST(SymbolTable, TheNearestIsTheFirstNameAtOrBelow) {
  const auto symbols = table();
  EXPECT_EQ(symbols.nearest(Gva{kText + 5})->name, "_text");
  EXPECT_EQ(symbols.nearest(Gva{kElsewhere})->name, "far_away");
  EXPECT_EQ(symbols.nearest(Gva{0xffff'ffff'c000'1010})->module, "ext4");
  EXPECT_EQ(symbols.nearest(Gva{UINT64_MAX}, UINT64_MAX)->name, "ext4_readdir");
  EXPECT_FALSE(symbols.nearest(Gva{0x1'efff}));
  EXPECT_FALSE(symbols.nearest(Gva{kElsewhere + (1 << 21)}));
}

TEST(SymbolTable, NamesLongerThanAnyAreCut) {
  SymbolTable::Builder builder;
  builder.add(kText, 'T', std::string(5000, 'x'));
  builder.add(kText + 8, 'T', "next");
  const auto symbols = std::move(builder).build();
  EXPECT_EQ(symbols.at(0).name, std::string(1023, 'x'));
  EXPECT_EQ(symbols.at(1).name, "next");
}

TEST(SymbolTable, WhatIsKeptIsReadBackMovedWithTheKernel) {
  SymbolTable::Builder builder;
  builder.add(kText, 'T', "_text");
  builder.add(0x1'f000, 'D', "per_cpu_thing");
  builder.add(kElsewhere, 'b', "far_away");
  const auto kept = std::move(builder).build();
  constexpr std::uint64_t kDelta = 0x1a00'0000;
  const auto moved = SymbolTable::from_raw(kept.raw(), kDelta);
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->find("_text"), Gva{kText + kDelta});
  EXPECT_EQ(moved->find("per_cpu_thing"), Gva{0x1'f000});
  EXPECT_EQ(moved->find("far_away"), Gva{kElsewhere + kDelta});
  // Out of the last 2 GiB, and back.
  const auto out = SymbolTable::from_raw(kept.raw(), std::uint64_t{0} - 0x1'0000'0000);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->find("_text"), Gva{kText - 0x1'0000'0000});
}

TEST(SymbolTable, AnAddressThatIsNotKeptIsRefused) {
  SymbolTable::Builder builder;
  builder.add(kElsewhere, 'b', "far_away");
  const auto kept = std::move(builder).build();
  auto raw = kept.raw();
  raw.names = raw.names.substr(0, raw.names.size() - 1);
  EXPECT_EQ(SymbolTable::from_raw(raw, 0).error().code, Errc::malformed);
}

}  // namespace
