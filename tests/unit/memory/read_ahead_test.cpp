#include "memory/read_ahead.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "support/counted_memory.h"
#include "support/failing_memory.h"

namespace vitrine {
namespace {

using Stage = ReadAhead::Stage;

/// RAM that changes when told to, and logs the order in which it is read.
class ChangingMemory final : public PhysicalMemory {
 public:
  ChangingMemory() : bytes_(64 * kPageSize) {}

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return ranges_; }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    if (from.value + into.size() > bytes_.size()) return fail(Errc::outside_ram, from.value);
    if (const auto change = changes_.find(reads_++); change != changes_.end())
      put(change->second.first, change->second.second);
    std::memcpy(into.data(), bytes_.data() + from.value, into.size());
    return {};
  }
  void put(std::uint64_t at, std::uint64_t value) const {
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }
  /// Before the `read`th read from now (from 0), `at` becomes `value`.
  void change_before(std::uint64_t read, std::uint64_t at, std::uint64_t value) {
    changes_[reads_ + read] = {at, value};
  }

 private:
  mutable std::vector<std::byte> bytes_;
  std::vector<GpaRange> ranges_{{Gpa{0}, 64 * kPageSize}};
  mutable std::uint64_t reads_ = 0;
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> changes_;
};

constexpr Gpa kTask{0x1000}, kObject{0x5040}, kOther{0x9000};

/// A task that names an object, the object, and the task again: what a view's row reads.
struct Seen {
  std::uint64_t task = 0, object = 0, again = 0;
};
Seen look_once(const ReadAhead& memory, ReadPlan& plan, std::optional<Gpa> extra = {}) {
  const ReadAhead::Look look(memory, plan);
  Seen seen;
  {
    const ReadAhead::In stage(memory, Stage::anchors);
    seen.task = memory.load<std::uint64_t>(kTask).value_or(0);
  }
  seen.object = memory.load<std::uint64_t>(kObject).value_or(0);
  if (extra) (void)memory.load<std::uint64_t>(*extra);
  const ReadAhead::In stage(memory, Stage::again);
  seen.again = memory.load<std::uint64_t>(kTask).value_or(0);
  return seen;
}

TEST(ReadAhead, TheSecondLookCostsABatchForEachStageInsteadOfReads) {
  const ChangingMemory ram;
  ram.put(kTask.value, 7);
  ram.put(kObject.value, 8);
  const CountedMemory counted(ram);
  const ReadAhead memory(counted);
  ReadPlan plan;
  auto seen = look_once(memory, plan);
  EXPECT_EQ(counted.trips(), 3U);
  EXPECT_EQ(plan.pages(), 2U);
  seen = look_once(memory, plan);
  EXPECT_EQ(seen.task, 7U);
  EXPECT_EQ(seen.object, 8U);
  EXPECT_EQ(seen.again, 7U);
  EXPECT_EQ(counted.trips(), 6U);  // three batches, one for each stage
  ram.put(kObject.value, 9);
  EXPECT_EQ(look_once(memory, plan).object, 9U) << "nothing is kept from one look to the next";
}

TEST(ReadAhead, ATaskThatChangesAfterItsObjectWasReadIsSeenToHaveChanged) {
  ChangingMemory ram;
  const ReadAhead memory(ram);
  ReadPlan plan;
  ram.put(kTask.value, 7);
  (void)look_once(memory, plan);
  ram.change_before(2, kTask.value, 70);  // task, object, then: the second reading
  const auto seen = look_once(memory, plan);
  EXPECT_EQ(seen.task, 7U);
  EXPECT_EQ(seen.again, 70U);
}

TEST(ReadAhead, WhatThePlanHasNotIsReadAndThenSecondReadingsAreMadeInEarnest) {
  ChangingMemory ram;
  const ReadAhead memory(ram);
  ReadPlan plan;
  ram.put(kTask.value, 7);
  (void)look_once(memory, plan);
  // The planned reads are 0 to 2; the unplanned one is the 3rd: then the task changes.
  ram.change_before(4, kTask.value, 71);
  const auto seen = look_once(memory, plan, kOther);
  EXPECT_EQ(seen.task, 7U);
  EXPECT_EQ(seen.again, 71U)
      << "a second reading from before the unplanned one would vouch for nothing";
  EXPECT_EQ(plan.pages(), 3U);
}

TEST(ReadAhead, AnotherTryIsServedNothingThatWasFetched) {
  const ChangingMemory ram;
  const ReadAhead memory(ram);
  ReadPlan plan;
  ram.put(kTask.value, 7);
  (void)look_once(memory, plan);
  const ReadAhead::Look look(memory, plan);
  ram.put(kTask.value, 72);
  {
    const ReadAhead::In stage(memory, Stage::anew);
    EXPECT_EQ(memory.load<std::uint64_t>(kTask), 72U);
  }
  ram.put(kTask.value, 73);
  const ReadAhead::In stage(memory, Stage::again);
  EXPECT_EQ(memory.load<std::uint64_t>(kTask), 73U) << "it vouches for the other try";
}

TEST(ReadAhead, OutsideALookItOnlyPassesOn) {
  const ChangingMemory ram;
  const ReadAhead memory(ram);
  ReadPlan plan;
  (void)look_once(memory, plan);
  ram.put(kTask.value, 5);
  EXPECT_EQ(memory.load<std::uint64_t>(kTask), 5U);
}

TEST(ReadAhead, AReadAcrossPagesAndOneOutsideRam) {
  const ChangingMemory ram;
  for (std::uint64_t at = 0x2000; at < 0x4000; at += 8) ram.put(at, at);
  const ReadAhead memory(ram);
  ReadPlan plan;
  for (int i = 0; i < 3; ++i) {
    const ReadAhead::Look look(memory, plan);
    std::array<std::uint64_t, 512> words;
    ASSERT_TRUE(memory.read(Gpa{0x2800}, std::as_writable_bytes(std::span(words))));
    EXPECT_EQ(words.front(), 0x2800U);
    EXPECT_EQ(words.back(), 0x37f8U);
    const auto outside = memory.load<std::uint64_t>(Gpa{64 * kPageSize});
    ASSERT_FALSE(outside);
    EXPECT_EQ(outside.error().code, Errc::outside_ram);
  }
  EXPECT_EQ(plan.pages(), 2U);
}

TEST(ReadAhead, WhatIsNoLongerReadLeavesThePlan) {
  const ChangingMemory ram;
  const ReadAhead memory(ram);
  ReadPlan plan;
  (void)look_once(memory, plan, kOther);
  EXPECT_EQ(plan.pages(), 3U);
  for (int i = 0; i < 40; ++i) (void)look_once(memory, plan);
  EXPECT_EQ(plan.pages(), 2U);
}

TEST(ReadAhead, AFaultInTheFetchIsOnlyAFaultOfWhatIsRead) {
  const ChangingMemory ram;
  ram.put(kTask.value, 7);
  ram.put(kObject.value, 8);
  for (std::uint64_t fail_at = 0;; ++fail_at) {
    const FailingMemory failing(ram, fail_at);
    const ReadAhead memory(failing);
    ReadPlan plan;
    Seen seen;
    for (int i = 0; i < 3; ++i) seen = look_once(memory, plan);
    if (!failing.failed()) break;
    seen = look_once(memory, plan);
    EXPECT_EQ(seen.task, 7U);
    EXPECT_EQ(seen.object, 8U);
    EXPECT_EQ(seen.again, 7U);
  }
}

}  // namespace
}  // namespace vitrine
