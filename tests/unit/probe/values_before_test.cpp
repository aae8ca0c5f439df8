#include "probe/agent/values_before.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "probe/agent/watched_spans.h"

namespace vitrine::probe {
namespace {

constexpr std::uint64_t kPage = 4096;
/// Four tables (0 to 3) and pages: 0x400000 is page 4, 0x401000 page 5, 0x402000 is not there.
class ValuesBeforeTest : public testing::Test {
 protected:
  void SetUp() override {
    bytes_ = static_cast<std::byte*>(
        ::mmap(nullptr, 8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(bytes_, MAP_FAILED);
    put(0, 1 * kPage | 7);
    put(1 * kPage, 2 * kPage | 7);
    put(2 * kPage + 2 * 8, 3 * kPage | 7);
    put(3 * kPage, 4 * kPage | 7);
    put(3 * kPage + 8, 5 * kPage | 7);
    std::size_t refused = 0;
    ram_ = std::make_unique<HostedRam>(
        std::vector<AgentRam>{{0, 8 * kPage, reinterpret_cast<std::uintptr_t>(bytes_), 0}},
        refused);
    memory_ = std::make_unique<GuestMemory>(*ram_, kernel_);
    memory_->begin(0, false);
  }
  void TearDown() override { ::munmap(bytes_, 8 * kPage); }
  void put(std::uint64_t gpa, std::uint64_t value) { std::memcpy(bytes_ + gpa, &value, 8); }

  AgentKernel kernel_;
  std::byte* bytes_ = nullptr;
  std::unique_ptr<HostedRam> ram_;
  std::unique_ptr<GuestMemory> memory_;
};

TEST_F(ValuesBeforeTest, WhatStoodThereIsFoundOnTheSamePageAlone) {
  ValuesBefore before(2, 256);
  put(4 * kPage + 16, 0x1122334455667788);
  before.keep(0, *memory_, 0x400010, 8);
  put(4 * kPage + 16, 0);
  EXPECT_EQ(before.find(0, 0x400010, 8, 4 * kPage + 16), 0x1122334455667788U);
  EXPECT_EQ(before.find(0, 0x400012, 2, 4 * kPage + 18), 0x5566U);
  EXPECT_FALSE(before.find(0, 0x400010, 8, 5 * kPage + 16)) << "another page";
  EXPECT_FALSE(before.find(0, 0x400014, 8, 4 * kPage + 20)) << "beyond what was kept";
  EXPECT_FALSE(before.find(0, 0x40000f, 1, 4 * kPage + 15));
  before.drop(0);
  EXPECT_FALSE(before.find(0, 0x400010, 8, 4 * kPage + 16));
}

TEST_F(ValuesBeforeTest, AcrossPagesAndUpToWhatIsThere) {
  ValuesBefore before(1, 8192);
  put(5 * kPage - 4, 0);
  std::memset(bytes_ + 5 * kPage - 4, 0xaa, 4);
  std::memset(bytes_ + 5 * kPage, 0xbb, 8);
  before.keep(0, *memory_, 0x400ffc, 8192);
  EXPECT_EQ(before.find(0, 0x400ffc, 8, 5 * kPage - 4), 0xbbbbbbbbaaaaaaaaU);
  EXPECT_TRUE(before.find(0, 0x401ff8, 8, 6 * kPage - 8));
  EXPECT_FALSE(before.find(0, 0x402000, 1, 6 * kPage));
}

TEST_F(ValuesBeforeTest, AnInstructionThatWritesTwiceFindsWhatItWrote) {
  ValuesBefore before(1, 256);
  before.keep(0, *memory_, 0x400000, 16);
  before.wrote(0, 0x400000, 4, 0x12345678);
  EXPECT_EQ(before.find(0, 0x400000, 8, 4 * kPage), 0x12345678U);
}

TEST_F(ValuesBeforeTest, TwoAtOnceAreNeitherCertain) {
  ValuesBefore before(2, 256);
  before.keep(0, *memory_, 0x400000, 8);
  before.keep(1, *memory_, 0x400004, 8);
  EXPECT_FALSE(before.find(0, 0x400000, 8, 4 * kPage));
  EXPECT_FALSE(before.find(1, 0x400004, 8, 4 * kPage + 4));
  before.keep(0, *memory_, 0x400000, 4);
  EXPECT_TRUE(before.find(0, 0x400000, 4, 4 * kPage)) << "side by side";
  before.drop(1);
  before.keep(0, *memory_, 0x400000, 8);
  EXPECT_TRUE(before.find(0, 0x400000, 8, 4 * kPage)) << "the other is through";
}

TEST(WatchedSpans, TouchedAndItsPart) {
  WatchedSpans spans;
  spans.add(0x1000, 16);
  spans.add(0xffff'8000'0000'0000, 4096);
  spans.add(0x1010, 16);
  spans.add(0x3000, 8);
  EXPECT_FALSE(spans.touched(0, 0xfff));
  EXPECT_TRUE(spans.touched(0, 0x1000));
  EXPECT_TRUE(spans.touched(0x101f, 0x101f));
  EXPECT_FALSE(spans.touched(0x1020, 0x2fff));
  EXPECT_TRUE(spans.touched(0x2000, 0x4000));
  EXPECT_FALSE(spans.touched(0x3008, 0x7fff'ffff'ffff'ffff));
  const auto part = spans.part(0x0800, 0x4000);
  EXPECT_EQ(part.first, 0x1000U);
  EXPECT_EQ(part.last, 0x3007U);
  spans.add(~0ULL - 7, 8);
  EXPECT_TRUE(spans.touched(~0ULL, ~0ULL));
}

}  // namespace
}  // namespace vitrine::probe
