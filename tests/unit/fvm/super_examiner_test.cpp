// What the Super FVM tells of FVMs as processes: a file stands for each one's memory, and the
// clock is the test's.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <vector>

#include "fvm/sensor/pulse.h"
#include "fvm/super/super.h"

using namespace vitrine;
using namespace vitrine::fvm;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::uint64_t kTextStart = 0x400000;

class SuperExaminerTest : public testing::Test {
 protected:
  SuperExaminerTest() {
    for (std::size_t i = 0; i < program_.size(); ++i) program_[i] = static_cast<std::byte>(i * 7);
  }

  /// An FVM that was started `age` ago; its memory is kept to be changed.
  int add(std::uint64_t serial, milliseconds age = milliseconds(0)) {
    FileDescriptor memory(::memfd_create("fvm", MFD_CLOEXEC));
    const int kept = ::dup(memory.get());
    put(kept, kTextStart, program_.data(), program_.size());
    pulse(kept, 1);
    ExaminePacket packet;
    packet.serial = serial;
    packet.text_start = kTextStart;
    packet.text_size = program_.size();
    packet.age_ms = static_cast<std::uint64_t>(age.count());
    std::vector<FileDescriptor> files;
    files.push_back(std::move(memory));
    examiner_.add(packet, std::move(files), now_);
    kept_.emplace_back(kept);
    return kept;
  }
  static void put(int file, std::uint64_t at, const void* bytes, std::size_t size) {
    ASSERT_EQ(::pwrite(file, bytes, size, static_cast<off_t>(at)), static_cast<ssize_t>(size));
  }
  static void pulse(int file, std::uint64_t counter, std::uint64_t magic = kPulseMagic,
                    Phase phase = Phase::standby) {
    Pulse pulse;
    pulse.phase = phase;
    pulse.magic = magic;
    pulse.counter = counter;
    pulse.progress = counter;
    put(file, kPulseAddress, &pulse, sizeof pulse);
  }
  std::vector<SuperExaminer::Verdict> after(milliseconds time) {
    now_ += time;
    return examiner_.round(now_);
  }

  std::array<std::byte, 8192> program_{};
  SuperExaminer examiner_{program_, 0, 0, symptom::Pack(), [] {}};
  SuperExaminer::Time now_{hours(100)};
  std::vector<FileDescriptor> kept_;
};

TEST_F(SuperExaminerTest, AnFvmThatBeatsAndIsItselfIsNotTold) {
  const int fvm = add(7);
  for (std::uint64_t beat = 2; beat < 50; ++beat) {
    pulse(fvm, beat);
    EXPECT_TRUE(after(milliseconds(20)).empty());
  }
}

TEST_F(SuperExaminerTest, AnOldFvmsPulseIsItsOwnForOneThatLooksForTheFirstTime) {
  const int fvm = add(7, hours(2));
  pulse(fvm, 400'000);  // 18 a second for two hours are 130,000; at most one a millisecond
  EXPECT_TRUE(after(milliseconds(20)).empty());
}

TEST_F(SuperExaminerTest, WhoWasKeptFromLookingFindsAPulseThatWentOn) {
  const int fvm = add(7);
  EXPECT_TRUE(after(milliseconds(20)).empty());
  pulse(fvm, 20'000);
  EXPECT_TRUE(after(seconds(60)).empty());
}

TEST_F(SuperExaminerTest, APulseFasterThanTimeIsForged) {
  const int fvm = add(7);
  EXPECT_TRUE(after(milliseconds(20)).empty());
  pulse(fvm, 5'000);
  const auto verdicts = after(milliseconds(20));
  ASSERT_EQ(verdicts.size(), 1u);
  EXPECT_EQ(verdicts[0].serial, 7u);
  EXPECT_EQ(verdicts[0].cause, Cause::altered);
  EXPECT_TRUE(after(milliseconds(20)).empty()) << "told once";
}

TEST_F(SuperExaminerTest, APulseThatGoesBackIsForged) {
  const int fvm = add(7);
  pulse(fvm, 30);
  EXPECT_TRUE(after(milliseconds(20)).empty());
  pulse(fvm, 29);
  ASSERT_EQ(after(milliseconds(20)).size(), 1u);
}

TEST_F(SuperExaminerTest, MemoryWithAnotherMagicIsForged) {
  pulse(add(7), 1, kPulseMagic + 1);
  ASSERT_EQ(after(milliseconds(20)).size(), 1u);
}

TEST_F(SuperExaminerTest, APulseThatStandsStillIsToldAfterItsTime) {
  add(7);
  EXPECT_TRUE(after(milliseconds(20)).empty());
  EXPECT_TRUE(after(SuperExaminer::kPulseLate - milliseconds(20)).empty());
  const auto verdicts = after(milliseconds(40));  // it moved when it was first looked at
  ASSERT_EQ(verdicts.size(), 1u);
  EXPECT_EQ(verdicts[0].cause, Cause::silent);
}

TEST_F(SuperExaminerTest, TheSilenceOfOneThatHasAGuestIsItsGuardsToJudge) {
  pulse(add(7), 1, kPulseMagic, Phase::scanning);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(after(SuperExaminer::kPulseLate).empty());
}

TEST_F(SuperExaminerTest, OneChangedByteOfOneTextAmongManyIsToldInAsManyRounds) {
  std::vector<int> fvms;
  for (std::uint64_t serial = 1; serial <= 40; ++serial) fvms.push_back(add(serial));
  const auto other = program_[5000] ^ std::byte{1};
  put(fvms[22], kTextStart + 5000, &other, 1);
  std::vector<SuperExaminer::Verdict> told;
  for (std::uint64_t i = 0; i < fvms.size(); ++i) {
    for (const int fvm : fvms) pulse(fvm, i + 2);
    for (auto& verdict : after(milliseconds(20))) told.push_back(std::move(verdict));
  }
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].serial, 23u);
  EXPECT_EQ(told[0].cause, Cause::altered);
}

TEST_F(SuperExaminerTest, AFvmWhoseTextWouldLieBeyondTheProgramIsNotTaken) {
  ExaminePacket packet;
  packet.text_offset = program_.size() - 10;
  packet.text_size = 11;
  std::vector<FileDescriptor> files;
  files.emplace_back(::memfd_create("fvm", MFD_CLOEXEC));
  examiner_.add(packet, std::move(files), now_);
  EXPECT_TRUE(after(seconds(100)).empty());
}

}  // namespace
