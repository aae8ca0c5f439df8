#include "linux/symbols.h"

#include <gtest/gtest.h>

#include <chrono>

namespace vitrine::linux {
namespace {

SymbolTable table(std::initializer_list<std::pair<std::uint64_t, std::string_view>> symbols) {
  SymbolTable::Builder builder;
  for (const auto& [address, name] : symbols) builder.add(address, 'd', name);
  return std::move(builder).build();
}

TEST(Symbols, TheKernelsFirstByAddressIsFoundElseAModules) {
  SymbolTable::Builder builder;
  const auto module = builder.module("ext4");
  builder.add(0x10, 't', "init", module);
  builder.add(0x40, 't', "init");
  builder.add(0x30, 't', "init");
  builder.add(0x20, 't', "only", module);
  const auto table = std::move(builder).build();
  EXPECT_EQ(table.find("init"), Gva{0x30});
  EXPECT_EQ(table.find("only"), Gva{0x20});
  EXPECT_EQ(table.find("none"), std::nullopt);
  const auto all = table.all("init");
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].address, Gva{0x10});
  EXPECT_EQ(all[0].module, "ext4");
  EXPECT_EQ(all[2].address, Gva{0x40});
}

/// A guest chooses its symbols' names: all one and the same, if it likes.
TEST(Symbols, AnyNumberOfEqualNamesIsIndexedInOnePass) {
  constexpr std::size_t kCount = 400'000;
  SymbolTable::Builder builder;
  for (std::size_t i = 0; i < kCount; ++i) builder.add(i, 't', "same");
  builder.add(7, 't', "other");
  const auto start = std::chrono::steady_clock::now();
  const auto table = std::move(builder).build();
  EXPECT_EQ(table.find("same"), Gva{0});
  EXPECT_EQ(table.find("other"), Gva{7});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));  // was a minute
  EXPECT_EQ(table.all("same").size(), kCount);
}

TEST(Symbols, ARawTableComesBackOrIsRefused) {
  SymbolTable::Builder builder;
  for (std::uint64_t i = 0; i < 100; ++i)
    builder.add(0xffff'ffff'8000'0000 + i, 't', "name" + std::to_string(i));
  const auto table = std::move(builder).build();
  const auto raw = table.raw();
  const auto back = SymbolTable::from_raw(raw, 0x1000);
  ASSERT_TRUE(back.has_value());
  for (std::uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(back->find("name" + std::to_string(i)), Gva{0xffff'ffff'8000'1000 + i});

  std::vector<std::byte> index(raw.index.begin(), raw.index.end());
  for (std::size_t at = 0; at < index.size(); at += 4) {
    auto damaged = index;
    damaged[at + 3] = std::byte{0x70};
    EXPECT_FALSE(SymbolTable::from_raw({raw.entries, damaged, raw.names}, 0).has_value()) << at;
  }
  for (std::size_t size = 0; size < index.size(); size += 4) {
    const Bytes cut = Bytes(index).first(size);
    EXPECT_FALSE(SymbolTable::from_raw({raw.entries, cut, raw.names}, 0).has_value()) << size;
  }
}

TEST(Symbols, ASuffixOfLinkTimeOptimizationMayBeLeftOut) {
  const auto symbols = table({{0x1000, "tk_core.llvm.7216389"},
                              {0x2000, "modules"},
                              {0x1800, "modules.llvm.1"},
                              {0x3000, "twin.llvm.1"},
                              {0x4000, "twin.llvm.2"},
                              {0x5000, "odd.llvm.x1"},
                              {0x6000, "by_gcc.lto_priv.0"},
                              {0x7000, "both.__uniq.81.llvm.7"},
                              {0x8000, "cold.part.0"},
                              {0x9000, "llvm.3"}});
  EXPECT_EQ(symbols.find("tk_core"), Gva{0x1000});
  EXPECT_EQ(symbols.find("tk_core.llvm.7216389"), Gva{0x1000});
  EXPECT_FALSE(symbols.find("tk_core.llvm.1"));
  EXPECT_EQ(symbols.find("modules"), Gva{0x2000});  // the name itself comes first
  EXPECT_EQ(symbols.all("twin").size(), 2U);
  EXPECT_FALSE(symbols.find("odd"));
  EXPECT_EQ(symbols.find("by_gcc"), Gva{0x6000});
  EXPECT_EQ(symbols.find("both"), Gva{0x7000});
  EXPECT_EQ(symbols.find("both.__uniq.81"), std::nullopt);
  EXPECT_FALSE(symbols.find("cold"));  // a part of a function is not the function
  EXPECT_EQ(symbols.find("llvm.3"), Gva{0x9000});
  EXPECT_EQ(symbolize(symbols, Gva{0x1004}), "tk_core.llvm.7216389+0x4");
  SymbolTable::Builder builder;
  builder.add(0x1000, 'd', "tk_core.llvm.7216389");
  EXPECT_EQ(builder.find("tk_core"), 0x1000U);
}

}  // namespace
}  // namespace vitrine::linux
