#include "probe/agent/throttle.h"

#include <gtest/gtest.h>

namespace vitrine::probe {
namespace {

/// Lets `count` firings come in one second; how many were let in. Each takes `ns`.
int come(Throttle& throttle, std::uint64_t limit, std::uint64_t second, int count,
         std::uint64_t ns = 0) {
  int passed = 0;
  for (int i = 0; i < count; ++i) {
    if (!throttle.admit(limit, second)) continue;
    ++passed;
    if (throttle.measures()) throttle.took(ns);
  }
  return passed;
}

TEST(Throttle, keeps_to_what_the_user_said_in_each_second) {
  Throttle throttle;
  EXPECT_EQ(come(throttle, 100, 5, 1000), 100);
  EXPECT_EQ(come(throttle, 100, 6, 1000), 100);
  EXPECT_EQ(come(throttle, 100, 8, 30), 30);
}

TEST(Throttle, a_count_in_a_tenth_of_a_microsecond_is_never_too_much) {
  Throttle throttle;
  EXPECT_EQ(come(throttle, Throttle::kByTime, 1, 4'000'000, 100), 4'000'000);
}

TEST(Throttle, takes_half_of_a_second_at_most) {
  Throttle throttle;
  // 1 us each: 500,000 of them; one of many is measured.
  EXPECT_NEAR(come(throttle, Throttle::kByTime, 1, 1'000'000, 1'000), 500'000,
              2 * int{Throttle::kEach});
  // 1 ms each: every one is measured.
  EXPECT_NEAR(come(throttle, Throttle::kByTime, 2, 1'000, 1'000'000), 500, 40);
  EXPECT_EQ(come(throttle, Throttle::kByTime, 3, 1, 400'000'000), 1);
}

TEST(Throttle, one_long_firing_after_short_ones_stands_for_itself) {
  Throttle throttle;
  EXPECT_EQ(come(throttle, Throttle::kByTime, 1, 10, 100), 10);
  // A second with one firing of 100 ms: not one of 32 alike.
  EXPECT_EQ(come(throttle, Throttle::kByTime, 2, 1, 100'000'000), 1);
  EXPECT_EQ(come(throttle, Throttle::kByTime, 2, 3, 100'000'000), 3);
}

TEST(Throttle, a_thread_that_waits_for_a_core_now_and_then_is_not_a_long_firing) {
  Throttle throttle;
  for (int i = 1; i <= 1'000'000; ++i) {
    ASSERT_TRUE(throttle.admit(Throttle::kByTime, 1)) << i;
    if (throttle.measures())
      throttle.took(i % (int{Throttle::kEach} * 1'000) == 1 ? 4'000'000 : 300);
  }
}

}  // namespace
}  // namespace vitrine::probe
