// Who waits for a CPU, so the kernel: read from its files, added up by a clock of the test's.
#include "fvm/guard/wait_account.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "fvm/supervisor/thread_files.h"

using namespace vitrine;
using namespace vitrine::fvm;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

constexpr std::uint64_t kMs = 1'000'000;

class Waits : public testing::Test {
 protected:
  nanoseconds after(milliseconds time, ThreadSample sample) {
    now_ += time;
    return wait_.see(sample, now_);
  }
  ThreadWait::Time now_{std::chrono::hours(1)};
  ThreadWait wait_;
};

TEST(ThreadSampleTest, IsWhatTheKernelSays) {
  const auto sample = parse_thread_sample("58196783 138632084 183\n", "7 (a) R (b) S 1 7 7 0\n");
  ASSERT_TRUE(sample);
  EXPECT_EQ(*sample, (ThreadSample{58196783, 138632084, 'S'}));
}

TEST(ThreadSampleTest, IsNothingWhereTheKernelSaysNothing) {
  for (const char* account : {"", "1", "1 2", "x 2 3", "1 x 3", "99999999999999999999999 2 3"})
    EXPECT_FALSE(parse_thread_sample(account, "7 (a) S 1")) << account;
  for (const char* state : {"", "7", "7 (a", "7 (a)", "7 (a) "})
    EXPECT_FALSE(parse_thread_sample("1 2 3", state)) << state;
}

TEST_F(Waits, WhatWasBeforeTheFirstLookDoesNotCount) {
  EXPECT_EQ(after(milliseconds(0), {5 * kMs, 900 * kMs, 'R'}).count(), 0);
}

TEST_F(Waits, WhoSleepsDoesNotWait) {
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(after(milliseconds(10), {5 * kMs, 3 * kMs, 'S'}).count(), 0);
}

TEST_F(Waits, WhoWasStoppedDoesNotWait) {
  (void)after(milliseconds(10), {5 * kMs, 3 * kMs, 'R'});
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(after(milliseconds(10), {5 * kMs, 3 * kMs, 'T'}).count(), 0);
}

TEST_F(Waits, WhoLoopsDoesNotWait) {
  nanoseconds all{};
  for (std::uint64_t i = 0; i < 100; ++i)  // its account moves at ticks of 4 ms, we look every 2
    all += after(milliseconds(2), {(5 + i / 2 * 4) * kMs, 3 * kMs, 'R'});
  EXPECT_LE(all, milliseconds(2));
}

TEST_F(Waits, AWaitCountsWhileItLastsAndNotAgainWhenItIsOver) {
  (void)after(milliseconds(10), {5 * kMs, 3 * kMs, 'S'});
  EXPECT_EQ(after(milliseconds(10), {5 * kMs, 3 * kMs, 'R'}).count(), 0);
  EXPECT_EQ(after(milliseconds(10), {5 * kMs, 3 * kMs, 'R'}), milliseconds(10));
  EXPECT_EQ(after(milliseconds(30), {5 * kMs, 3 * kMs, 'R'}), milliseconds(30));
  // It had begun 8 ms before it was seen, and ended 5 ms after the last look.
  EXPECT_EQ(after(milliseconds(10), {6 * kMs, 56 * kMs, 'S'}), milliseconds(13));
  EXPECT_EQ(after(milliseconds(10), {6 * kMs, 56 * kMs, 'S'}).count(), 0);
}

TEST_F(Waits, ManyShortWaitsAreAddedUp) {
  (void)after(milliseconds(10), {5 * kMs, 3 * kMs, 'S'});
  EXPECT_EQ(after(milliseconds(10), {6 * kMs, 9 * kMs, 'S'}), milliseconds(6));
  EXPECT_EQ(after(milliseconds(10), {7 * kMs, 14 * kMs, 'S'}), milliseconds(5));
}

TEST_F(Waits, WhoWaitsForADiskWaits) {
  (void)after(milliseconds(10), {5 * kMs, 3 * kMs, 'D'});
  EXPECT_EQ(after(milliseconds(20), {5 * kMs, 3 * kMs, 'D'}), milliseconds(20));
  EXPECT_EQ(after(milliseconds(20), {6 * kMs, 3 * kMs, 'S'}).count(), 0);
}

TEST(WaitAccountTest, ReadsWhatIsOpenedForIt) {
  WaitAccount account(thread_files(::getpid()));
  EXPECT_EQ(account.waited(WaitAccount::Time(std::chrono::hours(1))).count(), 0);
  EXPECT_NE(account.words().find("its threads, so the kernel: R after "), std::string::npos)
      << account.words();
}

TEST(WaitAccountTest, SaysNothingOfNobody) {
  WaitAccount none;
  EXPECT_EQ(none.waited({}).count(), 0);
  EXPECT_EQ(none.words(), "");
  EXPECT_TRUE(thread_files(-1).empty());
}

}  // namespace
