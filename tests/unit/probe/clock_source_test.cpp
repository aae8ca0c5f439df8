#include "probe/clock_source.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "vmipl/check.h"

namespace vitrine::probe {
namespace {

struct Counter final : EventSink {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::uint32_t, unsigned> fired;
  std::vector<std::uint64_t> requests;
  void records(Bytes) override {}
  void fire(HeldFiring& firing) override {
    const std::lock_guard lock(mutex);
    ++fired[firing.probe];
    const auto field = firing.field(0);
    if (field.state == Told::number) requests.push_back(field.number_value);
    changed.notify_all();
  }
  void stream(std::uint32_t, Bytes) override {}
  void note(SourceNote) override {}
  bool until(auto&& condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(10), condition);
  }
};

std::shared_ptr<const vmipl::Program> program_of(std::string text) {
  const vmipl::Source source("test.vmi", std::move(text));
  vmipl::Diagnostics diagnostics;
  auto checked = vmipl::check(source, {.build = true}, diagnostics);
  EXPECT_TRUE(checked.program);
  return std::make_shared<const vmipl::Program>(std::move(*checked.program));
}

TEST(ClockSource, OffersWhatTheClockCanDo) {
  const auto program = program_of(
      "Start { Print(\"\") } Every(1s) { Print(\"\") } OnExternalRequest(2) { Print(\"\") } "
      "Syscall { Print(\"\") } Stop { Print(\"\") }");
  const auto live = ClockSource(false).offers(*program);
  ASSERT_EQ(live.size(), 5U);
  for (const std::size_t i : {0, 1, 2, 4}) EXPECT_TRUE(live[i].possible) << i;
  EXPECT_FALSE(live[3].possible);
  const auto image = ClockSource(true).offers(*program);
  EXPECT_TRUE(image[0].possible);
  EXPECT_FALSE(image[1].possible);
  EXPECT_FALSE(image[2].possible);
  EXPECT_EQ(image[1].reason, "an image is one moment: nothing happens in it");
}

TEST(ClockSource, TicksAndRequestsUntilItStops) {
  const auto program = program_of(
      "Every(2ms) { Print(\"\") } OnExternalRequest(2) { Print(\"\") } OnExternalRequest(2) { "
      "Print(\"\") }");
  Counter counter;
  ClockSource clock(false);
  ASSERT_TRUE(clock.start({program, {0, 1, 2}}, counter));
  EXPECT_EQ(clock.request(2), 2U);
  EXPECT_EQ(clock.request(3), 0U);
  EXPECT_TRUE(counter.until(
      [&] { return counter.fired[0] >= 3 && counter.fired[1] == 1 && counter.fired[2] == 1; }));
  EXPECT_EQ(counter.requests, (std::vector<std::uint64_t>{2, 2}));
  const auto other = program_of("OnExternalRequest(3) { Print(\"\") }");
  ASSERT_TRUE(clock.replace({other, {0}}));
  EXPECT_EQ(clock.request(2), 0U);
  EXPECT_EQ(clock.request(3), 1U);
  EXPECT_TRUE(counter.until([&] { return counter.requests.size() == 3; }));
  clock.stop();
  const auto after = counter.fired;
  EXPECT_EQ(counter.fired, after);
  clock.stop();
}

}  // namespace
}  // namespace vitrine::probe
