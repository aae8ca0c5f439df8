#include "probe/rate_gate.h"

#include <gtest/gtest.h>

namespace vitrine::probe {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(RateGate, lets_a_burst_pass_and_a_flood_not) {
  RateGate gate({20, 100}, 0);
  int passed = 0;
  for (int i = 0; i < 1000; ++i) passed += gate.admit(0);
  EXPECT_EQ(passed, 100);
  EXPECT_EQ(gate.refused(), 900U);
  EXPECT_FALSE(gate.rested(kSecond));  // 20 of them: less than a quarter of the burst
  EXPECT_TRUE(gate.rested(2 * kSecond));
  for (int i = 0; i < 1000; ++i) passed += gate.admit(2 * kSecond);
  EXPECT_EQ(passed, 140);
}

TEST(RateGate, holds_its_rate_in_the_long_run) {
  RateGate gate({20, 100}, 0);
  int passed = 0;
  for (std::uint64_t ms = 0; ms < 100'000; ++ms) passed += gate.admit(ms * 1'000'000);
  EXPECT_NEAR(passed, 2100, 2);
}

TEST(RateGate, without_a_rate_is_open) {
  RateGate gate({}, 0);
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(gate.admit(0));
  EXPECT_TRUE(gate.rested(0));
}

TEST(RateGate, does_not_mind_a_clock_that_stands) {
  RateGate gate({20, 2}, kSecond);
  EXPECT_TRUE(gate.admit(0));
  EXPECT_TRUE(gate.admit(0));
  EXPECT_FALSE(gate.admit(0));
}

}  // namespace
}  // namespace vitrine::probe
