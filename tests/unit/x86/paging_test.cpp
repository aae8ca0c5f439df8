// Page tables: sizes, rights, halves, entries that are not present, loops.
#include "x86/paging.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/lab.h"

namespace vitrine::x86 {
namespace {

constexpr std::uint64_t kP = 1, kRw = 2, kUs = 4, kPs = 1U << 7, kKeeps = 1U << 8, kNx = 1ULL << 63,
                        kBits = 0x000f'ffff'ffff'f000;

/// Tables at 0x1000, one a level and half; what a test puts into the last two is its own.
class Paging : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto slot : {std::uint64_t{0}, std::uint64_t{511}})
      ram.put(Gpa{0x1000 + slot * 8}, std::uint64_t{0x2000} | kP | kRw | kUs);
    for (const auto slot : {std::uint64_t{0}, std::uint64_t{511}})
      ram.put(Gpa{0x2000 + slot * 8}, std::uint64_t{0x3000} | kP | kRw | kUs);
    ram.put(Gpa{0x3000}, std::uint64_t{0x4000} | kP | kRw | kUs);
  }
  void large(std::uint64_t slot, std::uint64_t entry) { ram.put(Gpa{0x3000 + slot * 8}, entry); }
  void small(std::uint64_t slot, std::uint64_t entry) { ram.put(Gpa{0x4000 + slot * 8}, entry); }
  [[nodiscard]] std::vector<Mapping> all(PageRoot root) const {
    std::vector<Mapping> seen;
    const auto walked =
        for_each_mapping(ram, root, Gva{0}, Gva{kGiB}, 100, [&](const Mapping& mapping) {
          seen.push_back(mapping);
          return true;
        });
    EXPECT_TRUE(walked);
    return seen;
  }

  test::LabMemory ram{{GpaRange{Gpa{0x1000}, 0x4000}}};
  PageRoot plain{Gpa{0x1000}, 4}, programs{Gpa{0x1000}, 4, true};
};

TEST_F(Paging, RightsAreThoseOfAllLevels) {
  small(1, 0x5000 | kP | kUs | kNx);
  const auto found = translate(ram, plain, Gva{0x1234});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->address, Gpa{0x5234});
  EXPECT_EQ(found->page_size, kPageSize);
  EXPECT_TRUE(found->user);
  EXPECT_FALSE(found->writable);
  EXPECT_FALSE(found->executable);
}

TEST_F(Paging, ALargePage) {
  large(1, 0x40'0000 | kP | kRw | kPs);
  const auto found = translate(ram, plain, Gva{0x21'2345});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->address, Gpa{0x41'2345});
  EXPECT_EQ(found->page_size, 2 * kMiB);
  EXPECT_FALSE(found->user);
}

TEST_F(Paging, AnUntouchablePageOfAProgramIsFollowedByWhoAsks) {
  small(1, (~std::uint64_t{0x5000} & kBits) | kKeeps | 0x20);
  EXPECT_EQ(translate(ram, plain, Gva{0x1234}).error().code, Errc::not_present);
  const auto found = translate(ram, programs, Gva{0x1234});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->address, Gpa{0x5234});
  EXPECT_FALSE(found->user || found->writable || found->executable);

  large(1, (~std::uint64_t{0x40'0000} & kBits) | kKeeps | kPs);
  const auto big = translate(ram, programs, Gva{0x21'2345});
  ASSERT_TRUE(big);
  EXPECT_EQ(big->address, Gpa{0x41'2345});
  EXPECT_EQ(big->page_size, 2 * kMiB);

  const auto seen = all(programs);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].start, Gva{0x1000});
  EXPECT_EQ(seen[0].first.address, Gpa{0x5000});
  EXPECT_EQ(seen[1].start, Gva{0x20'0000});
  EXPECT_TRUE(all(plain).empty());
}

TEST_F(Paging, WhatWasSwappedOutIsNone) {
  small(1, (~std::uint64_t{0x1234'5000} & kBits) | 2);  // bit 8 is clear in a swap entry
  small(2, 0);
  EXPECT_EQ(translate(ram, programs, Gva{0x1234}).error().code, Errc::not_present);
  EXPECT_EQ(translate(ram, programs, Gva{0x2234}).error().code, Errc::not_present);
  // A table is never untouchable.
  large(2, (~std::uint64_t{0x4000} & kBits) | kKeeps);
  EXPECT_EQ(translate(ram, programs, Gva{0x40'0000}).error().code, Errc::not_present);
  EXPECT_TRUE(all(programs).empty());
}

TEST_F(Paging, TheKernelsHalfHasNone) {
  small(1, (~std::uint64_t{0x5000} & kBits) | kKeeps);
  // 511, 511, 0, 1: the same last table, from the upper half.
  EXPECT_EQ(translate(ram, programs, Gva{0xffff'ffff'c000'1234}).error().code, Errc::not_present);
}

TEST_F(Paging, AddressesThatNoCpuTakes) {
  EXPECT_EQ(translate(ram, plain, Gva{1ULL << 47}).error().code, Errc::not_canonical);
}

}  // namespace
}  // namespace vitrine::x86
