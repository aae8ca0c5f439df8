#include "linux/memory_follower.h"

#include <gtest/gtest.h>

#include "fake_memory.h"
#include "support/failing_memory.h"
#include "support/lab.h"

namespace vitrine::linux {
namespace {

using test::FakeMemory;

/// A machine that counts how often it is asked where its RAM lies.
class Asked final : public Machine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "asked"; }
  [[nodiscard]] bool live() const noexcept override { return true; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return memory_; }
  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    return std::unexpected(Problem(Errc::unsupported, "none"));
  }
  [[nodiscard]] std::vector<std::string> notes() const override { return {}; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return {}; }
  [[nodiscard]] bool alive() const noexcept override { return true; }
  [[nodiscard]] Outcome<bool> follow_memory() const override {
    ++asked;
    if (!answers) return std::unexpected(Problem(Errc::timeout, "busy"));
    return true;
  }

  mutable int asked = 0;
  bool answers = true;

 private:
  test::LabMemory memory_{{GpaRange{Gpa{0}, kMiB}}};
};

constexpr Gva kMaxPfn{0xffff'ffff'8100'0000}, kUevents{0xffff'ffff'8100'0008};

/// What a follower looks at.
struct Followed {
  Asked machine;
  WitnessedMemory ram{machine.memory()};
  FakeMemory memory;

  [[nodiscard]] MemoryFollower follower() const {
    return {machine, memory, ram, {kMaxPfn, kUevents}};
  }
};

TEST(MemoryFollower, AsksWhenTheKernelWasGivenMemoryAndOnceASecondAtMost) {
  Followed guest;
  guest.memory.put(kMaxPfn, std::uint64_t{0x100});
  auto follower = guest.follower();
  follower.look();
  EXPECT_EQ(guest.machine.asked, 0);
  guest.memory.put(kMaxPfn, std::uint64_t{0x108000});
  follower.look();
  EXPECT_EQ(guest.machine.asked, 1);
  // A guest that says something else each time costs no more than that.
  for (std::uint64_t i = 0; i < 100; ++i) {
    guest.memory.put(kMaxPfn, i);
    follower.look();
  }
  EXPECT_EQ(guest.machine.asked, 1);
}

TEST(MemoryFollower, AsksAtTheFirstLookWhereTheKernelHasMoreThanTheMap) {
  Followed guest;
  guest.memory.put(kMaxPfn, std::uint64_t{0x101});
  auto follower = guest.follower();
  follower.look();
  follower.look();
  EXPECT_EQ(guest.machine.asked, 1);
}

TEST(MemoryFollower, AsksWhenOneDimmTookTheOthersPlace) {
  Followed guest;
  guest.memory.put(kMaxPfn, std::uint64_t{0x100});
  guest.memory.put(kUevents, std::uint64_t{700});
  auto follower = guest.follower();
  follower.look();
  EXPECT_EQ(guest.machine.asked, 0);
  for (std::uint64_t i = 701; i < 800; ++i) {
    guest.memory.put(kUevents, i);
    follower.look();
  }
  EXPECT_EQ(guest.machine.asked, 1);
}

TEST(MemoryFollower, AsksAnewWhatWasNotAnsweredButNotAtOnce) {
  Followed guest;
  guest.machine.answers = false;
  guest.memory.put(kMaxPfn, std::uint64_t{1});
  auto follower = guest.follower();
  guest.memory.put(kMaxPfn, std::uint64_t{2});
  follower.look();
  guest.machine.answers = true;
  follower.look();
  EXPECT_EQ(guest.machine.asked, 1);
}

TEST(MemoryFollower, AsksWhenTheHostRefusesWhatWasRam) {
  Asked machine;
  const FailingMemory failing(machine.memory(), 0);
  const WitnessedMemory ram(failing);
  const FakeMemory memory;
  MemoryFollower follower(machine, memory, ram, {});
  follower.look();
  EXPECT_EQ(machine.asked, 0);
  EXPECT_FALSE(ram.load<std::uint64_t>(Gpa{0}).has_value());
  follower.look();
  EXPECT_EQ(machine.asked, 1);
}

TEST(MemoryFollower, AnUnreadableWordIsNoNews) {
  Followed guest;
  guest.memory.put(kMaxPfn, std::uint64_t{1});
  auto follower = guest.follower();
  guest.memory.unmap(kMaxPfn);
  follower.look();
  EXPECT_EQ(guest.machine.asked, 0);
}

}  // namespace
}  // namespace vitrine::linux
