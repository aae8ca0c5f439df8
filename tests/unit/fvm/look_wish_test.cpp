// When a guard asks for a look out of turn.
#include "fvm/guard/look_wish.h"

#include <gtest/gtest.h>

using std::chrono::milliseconds;
using std::chrono::seconds;
using vitrine::fvm::LookWish;

namespace {

const LookWish::Time kNow{seconds(100)};

TEST(LookWish, NobodyAsksWhereNothingIsSaid) {
  LookWish wish;
  EXPECT_FALSE(wish.take(kNow));
  EXPECT_FALSE(wish.next());
}

TEST(LookWish, OneWordIsTwoLooksAndNoMore) {
  LookWish wish;
  wish.hear(kNow);
  EXPECT_TRUE(wish.take(kNow));
  EXPECT_FALSE(wish.take(kNow + milliseconds(10)));
  EXPECT_TRUE(wish.take(kNow + LookWish::kAgain));
  EXPECT_FALSE(wish.take(kNow + seconds(10)));
  EXPECT_FALSE(wish.next());
}

TEST(LookWish, WordsWithoutEndAreALookEachThirdOfASecond) {
  LookWish wish;
  int looks = 0;
  for (int ms = 0; ms < 30'000; ++ms) {
    wish.hear(kNow + milliseconds(ms));
    looks += wish.take(kNow + milliseconds(ms)) ? 1 : 0;
  }
  EXPECT_LE(looks, 101);
  EXPECT_GE(looks, 99);
}

TEST(LookWish, WhatIsSaidBetweenTheTwoLooksIsLookedAtAgain) {
  LookWish wish;
  wish.hear(kNow);
  EXPECT_TRUE(wish.take(kNow));
  wish.hear(kNow + milliseconds(200));
  EXPECT_TRUE(wish.take(kNow + milliseconds(300)));
  EXPECT_TRUE(wish.take(kNow + milliseconds(600)));  // what that event began
  EXPECT_FALSE(wish.take(kNow + seconds(10)));
}

}  // namespace
