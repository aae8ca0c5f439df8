// The control page: what is written is read, torn writes are not, and the FVM's descriptor is
// for reading alone.
#include "fvm/control_page.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <thread>

#include "fvm/canary.h"

using namespace vitrine;
using namespace vitrine::fvm;

namespace {

TEST(Control, WhatIsWrittenIsRead) {
  auto page = ControlPage::create().value();
  const auto* mapped = static_cast<const volatile std::byte*>(
      ::mmap(nullptr, kControlBytes, PROT_READ, MAP_SHARED, page.file(), 0));
  std::array<std::byte, kCanaryArea> area{};
  EXPECT_FALSE(read_orders(mapped, area)) << "an empty page is none of ours";
  Orders orders{.generation = 3,
                .cpu_share = 20,
                .segments = {{{Gpa{0}, 4096}, 1, 8192}, {{Gpa{1 << 20}, 4096}, 0, 0}},
                .look_round = 3};
  ASSERT_TRUE(page.write_with_canary(orders));
  const auto read = read_orders(mapped, area);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, orders);
  EXPECT_EQ(answer_canary(*read, area).addresses.size(), 1U);
}

// Whoever has it open for reading and a /proc could otherwise open it anew, for writing.
TEST(Control, CannotBeOpenedAnewForWriting) {
  const auto page = ControlPage::create().value();
  struct stat status{};
  ASSERT_EQ(::fstat(page.file(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0444U);
}

TEST(Control, TooManySegmentsAreRefused) {
  auto page = ControlPage::create().value();
  Orders orders{.segments = std::vector<MapSegment>(kMostSegments + 1)};
  EXPECT_EQ(page.write(orders).error().code, Errc::too_large);
}

TEST(Control, AReaderNeverSeesHalfAWrite) {
  auto page = ControlPage::create().value();
  const auto* mapped = static_cast<const volatile std::byte*>(
      ::mmap(nullptr, kControlBytes, PROT_READ, MAP_SHARED, page.file(), 0));
  std::jthread writer([&](const std::stop_token& stop) {
    Orders orders{.segments = std::vector<MapSegment>(100)};
    while (!stop.stop_requested()) {
      ++orders.generation;
      for (auto& segment : orders.segments) segment.range.size = orders.generation;
      (void)page.write(orders);
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
  std::array<std::byte, kCanaryArea> area{};
  int whole = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (whole < 500 && std::chrono::steady_clock::now() < end) {
    const auto orders = read_orders(mapped, area);
    if (!orders) continue;
    ++whole;
    for (const auto& segment : orders->segments) ASSERT_EQ(segment.range.size, orders->generation);
  }
  EXPECT_GT(whole, 0);
}

TEST(Control, ForgedPagesAreRefused) {
  std::vector<std::byte> forged(kControlBytes, std::byte{0xfe});
  std::array<std::byte, kCanaryArea> area{};
  EXPECT_FALSE(read_orders(forged.data(), area));
}

}  // namespace
