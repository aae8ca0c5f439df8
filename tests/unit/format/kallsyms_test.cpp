#include "format/kallsyms.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/address.h"
#include "support/kallsyms_builder.h"

namespace vitrine::format {
namespace {

using test::KallsymsOrder;
constexpr std::uint64_t kText = 0xffff'ffff'a000'0000;
constexpr std::uint64_t kStart = kText + 0x100'0000;

Result<KallsymsLayout> parse(Bytes bytes, std::uint64_t tokens) {
  std::uint64_t work = kKallsymsWork;
  return parse_kallsyms(bytes, tokens, work);
}

struct Case {
  const char* name;
  KallsymsOrder order;
  KallsymsAddresses form;
};

class Kallsyms : public testing::TestWithParam<Case> {
 protected:
  static test::BuiltKallsyms build(const std::vector<test::BuiltSymbol>& symbols) {
    return test::build_kallsyms(symbols, GetParam().order, GetParam().form, kText, kStart);
  }
};

TEST_P(Kallsyms, EverySymbolComesBackAsItWas) {
  auto symbols = test::make_symbols(5'000, kText);
  if (GetParam().form == KallsymsAddresses::based_percpu) {
    for (std::uint64_t i = 0; i < 40; ++i)
      symbols.insert(symbols.begin(), {0x30000 - i * 64, 'A', "per_cpu_0"});
  }
  const auto built = build(symbols);
  const auto tables = find_token_tables(built.bytes);
  ASSERT_EQ(tables.size(), 1U);
  EXPECT_EQ(tables[0], built.tokens);
  const auto layout = parse(built.bytes, tables[0]);
  ASSERT_TRUE(layout.has_value()) << layout.error().what;
  EXPECT_EQ(layout->form, GetParam().form);
  ASSERT_EQ(layout->count, symbols.size());
  std::size_t i = 0;
  const auto done = for_each_symbol(built.bytes, *layout, kStart,
                                    [&](std::uint64_t address, char type, std::string_view name) {
                                      ASSERT_LT(i, symbols.size());
                                      EXPECT_EQ(address, symbols[i].address) << i;
                                      EXPECT_EQ(type, symbols[i].type) << i;
                                      EXPECT_EQ(name, symbols[i].name) << i;
                                      ++i;
                                    });
  EXPECT_TRUE(done.has_value());
  EXPECT_EQ(i, symbols.size());
}

TEST_P(Kallsyms, AnyCutIsRefusedNotMisread) {
  const auto symbols = test::make_symbols(2'600, kText);
  const auto built = build(symbols);
  for (std::size_t size = 0; size < built.bytes.size(); size += 997) {
    const Bytes cut = Bytes(built.bytes).first(size);
    const auto layout = parse(cut, built.tokens);
    if (!layout) continue;
    EXPECT_EQ(layout->count, symbols.size());
    EXPECT_TRUE(for_each_symbol(cut, *layout, kStart, [](auto, auto, auto) {}).has_value());
  }
}

TEST_P(Kallsyms, OneWrongMarkerIsRefused) {
  auto built = build(test::make_symbols(5'000, kText));
  const auto layout = parse(built.bytes, built.tokens);
  ASSERT_TRUE(layout.has_value());
  built.bytes[layout->markers + 4 * 9] ^= std::byte{1};
  EXPECT_FALSE(parse(built.bytes, built.tokens).has_value());
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, Kallsyms,
    testing::Values(
        Case{"absolute_4_2", KallsymsOrder::to_4_19, KallsymsAddresses::absolute},
        Case{"percpu_4_19", KallsymsOrder::to_4_19, KallsymsAddresses::based_percpu},
        Case{"absolute_5_10", KallsymsOrder::to_6_3, KallsymsAddresses::absolute},
        Case{"based_5_10", KallsymsOrder::to_6_3, KallsymsAddresses::based},
        Case{"percpu_5_10", KallsymsOrder::to_6_3, KallsymsAddresses::based_percpu},
        Case{"percpu_6_2", KallsymsOrder::from_6_2_with_seqs, KallsymsAddresses::based_percpu},
        Case{"percpu_6_4", KallsymsOrder::from_6_4, KallsymsAddresses::based_percpu},
        Case{"based_6_15", KallsymsOrder::from_6_4, KallsymsAddresses::based},
        Case{"self_relative_7", KallsymsOrder::from_7, KallsymsAddresses::self_relative}),
    [](const auto& one) { return one.param.name; });

TEST(KallsymsTokens, DigitsAloneAreNoTable) {
  std::vector<std::byte> bytes(4096);
  const std::string_view digits("0\0001\0002\0003\0004\0005\0006\0007\0008\0009", 19);
  for (const std::size_t at : {100U, 1001U, 3003U})
    std::memcpy(bytes.data() + at, digits.data(), digits.size());
  EXPECT_TRUE(find_token_tables(bytes).empty());
}

/// Memory full of the one thing a search looks closer at.
TEST(KallsymsTokens, MemoryFullOfDigitsIsPassedInOnePass) {
  const std::string_view digits("0\0001\0002\0003\0004\0005\0006\0007\0008\0009", 20);
  std::vector<std::byte> bytes(64 * kMiB);
  for (std::size_t at = 0; at + digits.size() <= bytes.size(); at += digits.size())
    std::memcpy(bytes.data() + at, digits.data(), digits.size());
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(find_token_tables(bytes).empty());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // was minutes
}

/// Tokens of a thousand characters, in the longest names: gigabytes of text from a few megabytes.
TEST(KallsymsTokens, NamesLongerThanAnyKernelsAreRefused) {
  auto built = test::build_kallsyms(test::make_symbols(3'000, kText), KallsymsOrder::from_6_4,
                                    KallsymsAddresses::based, kText, kStart);
  const auto layout = parse(built.bytes, built.tokens);
  ASSERT_TRUE(layout.has_value());
  std::vector<std::byte> moved(built.bytes.begin(), built.bytes.end());
  auto wide = *layout;
  wide.tokens = moved.size();
  for (int i = 0; i < 256; ++i) {
    moved.insert(moved.end(), 200, std::byte{'a'});
    moved.push_back(std::byte{0});
  }
  std::size_t longest = 0;
  const auto done = for_each_symbol(moved, wide, kStart, [&](auto, auto, std::string_view name) {
    longest = std::max(longest, name.size());
  });
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Errc::malformed);
  EXPECT_LE(longest, 1024U);
}

TEST(KallsymsTokens, FoundAtEveryPlaceInAWord) {
  const auto built = test::build_kallsyms(test::make_symbols(3'000, kText), KallsymsOrder::from_6_4,
                                          KallsymsAddresses::based, kText, kStart);
  for (std::size_t shift = 0; shift < 16; shift += 4) {
    std::vector<std::byte> moved(shift);
    moved.insert(moved.end(), built.bytes.begin(), built.bytes.end());
    const auto tables = find_token_tables(moved);
    ASSERT_EQ(tables.size(), 1U) << shift;
    EXPECT_EQ(tables[0], built.tokens + shift);
  }
}

}  // namespace
}  // namespace vitrine::format
