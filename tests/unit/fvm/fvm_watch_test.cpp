// Is an FVM still itself? Each way in which it may not be, with no clock but the test's.
#include "fvm/guard/fvm_watch.h"

#include <gtest/gtest.h>

#include "fvm/canary.h"

using namespace vitrine;
using namespace vitrine::fvm;
using std::chrono::milliseconds;

namespace {

class Watched : public testing::Test {
 protected:
  static constexpr std::uint64_t kGeneration = 5;

  Watched() : page_(ControlPage::create().value()), watch_(kGeneration, WatchLimits{}, now_) {
    plant();
  }

  void plant() {
    orders_.generation = kGeneration;
    ASSERT_TRUE(page_.write_with_canary(orders_));
    watch_.plant(orders_, page_.area(), now_);
  }
  void send(const std::vector<Frame>& frames) {
    for (const auto& frame : frames) watch_.take(encode(frame), now_, messages_);
  }
  void beat(Heartbeat heartbeat = {}) {
    heartbeat.counter = heartbeat.counter == 0 ? ++counter_ : heartbeat.counter;
    if (heartbeat.phase == Phase::standby) heartbeat.phase = Phase::resting;
    send(frames_of(FrameType::heartbeat, save(heartbeat), kGeneration, number_));
  }
  void answer(std::uint64_t generation = kGeneration) {
    send(frames_of(FrameType::canary, symptom::save(answer_canary(orders_, page_.area())),
                   generation, number_));
  }
  /// A healthy FVM for a while.
  void live(milliseconds time, bool answers = true, bool beats = true) {
    for (milliseconds passed{0}; passed < time && !watch_.bad(); passed += milliseconds(10)) {
      now_ += milliseconds(10);
      if (beats) beat();
      if (watch_.wants_canary(now_)) {
        plant();
        if (answers) answer();
      }
      watch_.tick(now_, {});
    }
  }

  FvmWatch::Time now_{std::chrono::hours(1)};
  ControlPage page_;
  Orders orders_;
  FvmWatch watch_;
  std::vector<Message> messages_;
  std::uint64_t number_ = 1, counter_ = 0;
};

TEST_F(Watched, AHealthyOneStaysEmployed) {
  beat();
  EXPECT_FALSE(watch_.watching());
  answer();
  EXPECT_TRUE(watch_.watching());
  live(milliseconds(5000));
  EXPECT_FALSE(watch_.bad());
}

TEST_F(Watched, OneThatNeverAnswersIsNoticed) {
  live(milliseconds(3000), false);
  EXPECT_EQ(watch_.bad(), Cause::never);
}

TEST_F(Watched, SilenceIsNoticed) {
  answer();
  live(milliseconds(300));
  const auto then = now_;
  live(milliseconds(1000), false, false);
  EXPECT_EQ(watch_.bad(), Cause::silent);
  EXPECT_LE(now_ - then, milliseconds(110));
}

TEST_F(Watched, AHeartThatBeatsWithoutFindingTheCanaryIsNoticed) {
  answer();
  live(milliseconds(300));
  const auto then = now_;
  live(milliseconds(1000), false);
  EXPECT_EQ(watch_.bad(), Cause::stuck);
  EXPECT_LE(now_ - then, milliseconds(150));
}

TEST_F(Watched, AWrongAnswerIsForged) {
  answer();
  plant();
  auto wrong = answer_canary(orders_, page_.area());
  wrong.addresses[0] += 1;
  send(frames_of(FrameType::canary, symptom::save(wrong), kGeneration, number_));
  EXPECT_EQ(watch_.bad(), Cause::forged);
}

TEST_F(Watched, AnAnswerToAnOlderChallengeIsNoAnswer) {
  const auto old = answer_canary(orders_, page_.area());
  answer();
  plant();
  send(frames_of(FrameType::canary, symptom::save(old), kGeneration, number_));
  EXPECT_FALSE(watch_.bad());
  EXPECT_FALSE(watch_.wants_canary(now_ + milliseconds(1000))) << "the challenge still stands";
}

TEST_F(Watched, AHeartbeatThatSkipsIsForged) {
  beat();
  beat({.counter = 7});
  EXPECT_EQ(watch_.bad(), Cause::forged);
}

TEST_F(Watched, ProgressThatRunsBackIsForged) {
  beat({.progress = 10});
  beat({.progress = 9});
  EXPECT_EQ(watch_.bad(), Cause::forged);
}

TEST_F(Watched, VerdictsOfAnotherAssignmentAreForged) {
  send(frames_of(FrameType::finding, symptom::save({.symptom = "x"}), kGeneration + 1, number_));
  EXPECT_EQ(watch_.bad(), Cause::forged);
  EXPECT_TRUE(messages_.empty());
}

TEST_F(Watched, NoiseBreaksTheProtocol) {
  watch_.take(FrameBytes{}, now_, messages_);
  EXPECT_EQ(watch_.bad(), Cause::protocol);
}

TEST_F(Watched, AFloodIsBounded) {
  answer();
  for (int i = 0; i < 100'000 && !watch_.bad(); ++i) beat();
  EXPECT_EQ(watch_.bad(), Cause::flooded);
  EXPECT_LE(counter_, kFramesBurst + 1);
}

TEST_F(Watched, PiecesOfFramesAreJoined) {
  const auto frame =
      encode(frames_of(FrameType::heartbeat, save(Heartbeat{.counter = 1, .phase = Phase::resting}),
                       kGeneration, number_)
                 .front());
  watch_.take(Bytes(frame).first(100), now_, messages_);
  watch_.take(Bytes(frame).subspan(100), now_, messages_);
  EXPECT_FALSE(watch_.bad());
  EXPECT_EQ(watch_.heartbeat().counter, 1U);
}

TEST_F(Watched, WhoeverWasLateHimselfExcusesTheOther) {
  answer();
  live(milliseconds(100));
  now_ += milliseconds(500);
  watch_.tick(now_, milliseconds(490));
  EXPECT_FALSE(watch_.bad());
}

TEST_F(Watched, LongWorkWhileAttachingIsNoDeath) {
  answer();
  for (int i = 0; i < 100; ++i) {
    now_ += milliseconds(20);
    beat({.phase = Phase::attaching});
    if (watch_.wants_canary(now_)) plant();
    watch_.tick(now_, {});
  }
  EXPECT_FALSE(watch_.bad());
  for (int i = 0; i < 4000 && !watch_.bad(); ++i) {
    now_ += milliseconds(20);
    beat({.phase = Phase::attaching});
    watch_.tick(now_, {});
  }
  EXPECT_EQ(watch_.bad(), Cause::stuck) << "but not for ever";
}

}  // namespace
