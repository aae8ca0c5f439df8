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
    if (heartbeat.progress == 0) heartbeat.progress = progress_ += steps_;
    heartbeat.engine_ns = engine_ns_;
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
  std::uint64_t number_ = 1, counter_ = 0, progress_ = 1, engine_ns_ = 0;
  std::uint64_t steps_ = 1;  ///< of the engine between two beats
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

TEST_F(Watched, WhoIsKeptWaitingForACpuIsNotSilent) {
  answer();
  live(milliseconds(300));
  EXPECT_FALSE(watch_.is_late(now_));
  for (int i = 0; i < 60; ++i) {
    now_ += milliseconds(10);
    // The first looks find nothing to go by: a wait counts from when it is seen.
    watch_.tick(now_, {}, milliseconds(i < 4 ? 0 : 10));
  }
  EXPECT_TRUE(watch_.is_late(now_));
  EXPECT_FALSE(watch_.bad());
  beat();
  answer();
  EXPECT_EQ(watch_.longest_silence(), milliseconds(600));
  EXPECT_EQ(watch_.kept_waiting(), milliseconds(560));
  live(milliseconds(300));
  EXPECT_FALSE(watch_.bad());
}

TEST_F(Watched, WhoGetsACpuNowAndThenAndSaysNothingIsNoticed) {
  answer();
  live(milliseconds(300));
  const auto then = now_;
  for (int i = 0; i < 100 && !watch_.bad(); ++i) {
    now_ += milliseconds(10);
    watch_.tick(now_, {}, milliseconds(5));
  }
  EXPECT_EQ(watch_.bad(), Cause::silent);
  EXPECT_LE(now_ - then, milliseconds(190));
  EXPECT_NE(watch_.detail().find("no heartbeat"), std::string::npos);
}

TEST_F(Watched, AWaitThatNeverEndsIsNotWaitedFor) {
  answer();
  live(milliseconds(300));
  plant();
  const auto then = now_;
  for (int i = 0; i < 1000 && !watch_.bad(); ++i) {
    now_ += milliseconds(10);
    watch_.tick(now_, {}, milliseconds(10));
  }
  EXPECT_EQ(watch_.bad(), Cause::stuck);
  EXPECT_LE(now_ - then, milliseconds(2'100));
}

/// Beats every 20 ms for `time`, the engine using `cpu` between two, and no answer.
class Working : public Watched {
 protected:
  void work(milliseconds time, std::chrono::nanoseconds cpu, Phase phase = Phase::scanning) {
    for (milliseconds passed{0}; passed < time && !watch_.bad(); passed += milliseconds(20)) {
      now_ += milliseconds(20);
      engine_ns_ += static_cast<std::uint64_t>(cpu.count());
      beat({.phase = phase});
      if (watch_.wants_canary(now_)) plant();
      watch_.tick(now_, {});
    }
  }
};

TEST_F(Working, AStepThatTakesLongOnABusyHostIsNoDeath) {
  answer();
  plant();
  steps_ = 0;
  work(milliseconds(600), milliseconds(2));  // 60 ms of CPU in 600 ms
  EXPECT_FALSE(watch_.bad());
  answer();
  steps_ = 1;
  live(milliseconds(500));
  EXPECT_FALSE(watch_.bad());
}

TEST_F(Working, AnEndlessLoopIsNoticedWhateverThePhase) {
  for (const auto phase : {Phase::attaching, Phase::scanning, Phase::resting}) {
    FvmWatch fresh(kGeneration, WatchLimits{}, now_);
    watch_ = fresh;
    number_ = 1, counter_ = 0, steps_ = 1;
    plant();
    answer();
    live(milliseconds(200));
    ASSERT_FALSE(watch_.bad());
    const auto then = now_;
    steps_ = 0;
    work(milliseconds(1000), milliseconds(20), phase);
    EXPECT_EQ(watch_.bad(), Cause::stuck);
    EXPECT_LE(now_ - then, milliseconds(110)) << static_cast<int>(phase);
  }
}

TEST_F(Working, ABlockedEngineIsNoticedWhateverThePhase) {
  answer();
  live(milliseconds(200));
  const auto then = now_;
  steps_ = 0;
  work(milliseconds(1000), std::chrono::microseconds(10), Phase::attaching);
  EXPECT_EQ(watch_.bad(), Cause::stuck);
  EXPECT_LE(now_ - then, milliseconds(110));
}

TEST_F(Working, AHeartThatBeatsLateExcusesTheEngine) {
  answer();
  live(milliseconds(200));
  steps_ = 0;
  for (int i = 0; i < 3; ++i) {  // nobody gets a CPU for 75 ms at a time
    now_ += milliseconds(75);
    beat({.phase = Phase::scanning});
    watch_.tick(now_, {});
  }
  EXPECT_FALSE(watch_.bad());
}

TEST_F(Working, AnEngineThatIsKeptWaitingWhileTheHeartBeatsIsNotBlocked) {
  answer();
  live(milliseconds(200));
  steps_ = 0;
  for (int i = 0; i < 20; ++i) {
    now_ += milliseconds(20);
    beat({.phase = Phase::scanning});
    watch_.tick(now_, {}, milliseconds(i < 2 ? 0 : 20));
  }
  EXPECT_FALSE(watch_.bad());
}

TEST_F(Working, AnEngineThatStepsAndDoesNotAnswerIsNoticedInTheMiddleOfAPass) {
  answer();
  live(milliseconds(200));
  plant();
  const auto then = now_;
  steps_ = 1000;
  work(milliseconds(1000), milliseconds(20));
  EXPECT_EQ(watch_.bad(), Cause::stuck);
  EXPECT_LE(now_ - then, milliseconds(100));
}

TEST_F(Working, ALiarWhoClaimsToWaitForACpuIsNotBelievedForEver) {
  answer();
  plant();
  const auto then = now_;
  steps_ = 0;
  work(milliseconds(10'000), std::chrono::microseconds(600));
  EXPECT_EQ(watch_.bad(), Cause::stuck);
  EXPECT_LE(now_ - then, milliseconds(2'100));
}

TEST_F(Working, AnEngineWhoseCpuTimeRunsBackIsForged) {
  engine_ns_ = 1000;
  beat();
  engine_ns_ = 999;
  beat();
  EXPECT_EQ(watch_.bad(), Cause::forged);
}

TEST_F(Working, AttachingHasAnEnd) {
  answer();
  for (int i = 0; i < 4000 && !watch_.bad(); ++i) {
    now_ += milliseconds(20);
    beat({.phase = Phase::attaching});
    if (watch_.wants_canary(now_)) {
      plant();
      answer();
    }
    watch_.tick(now_, {});
  }
  EXPECT_EQ(watch_.bad(), Cause::stuck);
}

TEST(Limits, PatienceStretchesWhatAHostCanBeTooSlowFor) {
  const auto usual = WatchLimits::of(Isolation::process, false);
  const auto patient = WatchLimits::of(Isolation::process, false, 4);
  EXPECT_EQ(patient.step, usual.step * 4);
  EXPECT_EQ(patient.still, usual.still * 4);
  EXPECT_EQ(patient.canary_every, usual.canary_every);
}

}  // namespace
