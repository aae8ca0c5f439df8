// Frames and messages: what is sent comes back; what is not a frame of ours is refused.
#include <gtest/gtest.h>

#include "fvm/verdict/message.h"
#include "fvm/verdict/rate_limit.h"

using namespace vitrine;
using namespace vitrine::fvm;

namespace {

symptom::Finding large_finding() {
  symptom::Finding finding{.symptom = "hidden_process",
                           .severity = symptom::Severity::high,
                           .message = std::string(1000, 'm')};
  for (int i = 0; i < 20; ++i) finding.evidence.emplace_back("column", std::string(200, 'v'));
  finding.identity = 7;
  return finding;
}

Frame heartbeat_frame(std::uint64_t number) {
  auto next = number;
  return frames_of(FrameType::heartbeat, save(Heartbeat{.counter = number}), 1, next).front();
}

TEST(Frame, GoesThereAndBack) {
  const auto frame = heartbeat_frame(3);
  const auto back = decode(encode(frame));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->number, 3U);
  EXPECT_EQ(back->payload, frame.payload);
}

TEST(Frame, EveryChangedByteIsRefused) {
  const auto good = encode(heartbeat_frame(1));
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto bad = good;
    bad[at] ^= std::byte{0x10};
    EXPECT_FALSE(decode(bad)) << at;
  }
}

TEST(Frame, OtherSizesAreRefused) {
  const auto good = encode(heartbeat_frame(1));
  EXPECT_FALSE(decode(Bytes(good).first(511)));
  EXPECT_FALSE(decode({}));
}

TEST(Messages, AFindingInPartsWithHeartbeatsBetween) {
  std::uint64_t number = 1;
  auto frames = frames_of(FrameType::finding, symptom::save(large_finding()), 9, number);
  ASSERT_GT(frames.size(), 5U);
  // A heartbeat slips in; numbers are given when a frame is sent.
  frames.insert(frames.begin() + 2, heartbeat_frame(0));
  for (std::size_t i = 0; i < frames.size(); ++i) frames[i].number = i + 1;
  Assembler assembler;
  std::size_t heartbeats = 0;
  std::optional<Message> last;
  for (const auto& frame : frames) {
    auto message = assembler.take(frame);
    ASSERT_TRUE(message) << message.error().what;
    if (!*message) continue;
    if (std::holds_alternative<Heartbeat>(**message))
      ++heartbeats;
    else
      last = std::move(*message);
  }
  EXPECT_EQ(heartbeats, 1U);
  ASSERT_TRUE(last);
  EXPECT_EQ(std::get<FindingSeen>(*last).finding, large_finding());
}

TEST(Messages, ALostOrRepeatedFrameIsTold) {
  Assembler assembler;
  ASSERT_TRUE(assembler.take(heartbeat_frame(41)));  // the first may have any number
  EXPECT_TRUE(assembler.take(heartbeat_frame(42)));
  EXPECT_EQ(assembler.take(heartbeat_frame(42)).error().code, Errc::protocol);
  Assembler another;
  ASSERT_TRUE(another.take(heartbeat_frame(1)));
  EXPECT_EQ(another.take(heartbeat_frame(3)).error().code, Errc::protocol);
}

TEST(Messages, PartsThatDoNotBelongTogether) {
  std::uint64_t number = 1;
  const auto frames = frames_of(FrameType::finding, symptom::save(large_finding()), 9, number);
  for (const auto change : {0, 1, 2, 3}) {
    Assembler assembler;
    ASSERT_TRUE(assembler.take(frames[0]));
    auto next = frames[1];
    if (change == 0) next.part = 2;
    if (change == 1) next.parts += 1;
    if (change == 2) next.type = FrameType::gone;
    if (change == 3) next.length = 10;
    EXPECT_FALSE(assembler.take(next)) << change;
  }
}

TEST(Messages, MorePartsThanAFindingHasAreRefusedAtOnce) {
  Assembler assembler;
  Frame frame{
      .type = FrameType::finding, .number = 1, .length = kPartBytes, .part = 0, .parts = 60'000};
  EXPECT_EQ(assembler.take(frame).error().code, Errc::too_large);
}

TEST(RateLimit, LetsABurstThroughAndNoMore) {
  const std::chrono::steady_clock::time_point start{};
  RateLimit limit(10, 5, start);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limit.take(start));
  EXPECT_FALSE(limit.take(start));
  EXPECT_TRUE(limit.take(start + std::chrono::milliseconds(100)));
  EXPECT_FALSE(limit.take(start + std::chrono::milliseconds(100)));
}

}  // namespace
