// Walks of stacks that are built here, with rules and memory whose truth is known, and of some
// that are forged.
#include "linux/stack/unwind.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

namespace vitrine::linux {
namespace {

using format::OrcLayout;

constexpr OrcLayout kLayout{6, {0, 16}, {16, 16}, {32, 4}, {36, 4}, {40, 3}, {43, 1}, {}, {}};
constexpr std::uint64_t kText = 0xffff'ffff'8100'0000, kTextSize = 0x1'0000;
constexpr std::uint64_t kTables = 0xffff'ffff'8200'0000;
constexpr std::uint64_t kStack = 0xffff'c900'0000'0000, kStackSize = 0x4000;
constexpr std::uint64_t kInterrupt = 0xffff'c900'0010'0000;
constexpr std::uint16_t kCall = 0x205, kRegisters = 0xb05, kEnd = 0x100, kUndefined = 0,
                        kFrameCall = 0x214;

/// Words and bytes where they are put; nothing else can be read.
class Built final : public VirtualMemory {
 public:
  [[nodiscard]] Result<void> read(Gva from, MutableBytes into) const override {
    for (std::size_t i = 0; i < into.size(); ++i) {
      const auto at = bytes_.find(from.value + i);
      if (at == bytes_.end()) return fail(Errc::not_present, from.value + i, "built");
      into[i] = at->second;
    }
    return {};
  }
  template <class T>
  void put(std::uint64_t at, T value) {
    std::byte bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    for (std::size_t i = 0; i < sizeof value; ++i) bytes_[at + i] = bytes[i];
  }

 private:
  std::map<std::uint64_t, std::byte> bytes_;
};

class Unwind : public testing::Test {
 protected:
  /// Code from `at` (within kText) on follows this rule.
  void rule(std::uint64_t at, std::uint16_t bits, std::int16_t sp = 0, std::int16_t bp = 0) {
    places_.push_back(kText + at);
    rules_.push_back({sp, bp, bits});
  }
  void word(std::uint64_t at, std::uint64_t value) { memory_.put(at, value); }
  /// A struct pt_regs at `at`.
  void registers(std::uint64_t at, std::uint64_t ip, std::uint64_t sp, std::uint64_t bp,
                 std::uint16_t cs) {
    for (std::uint64_t i = 0; i < layout_.size; i += 8) word(at + i, 0);
    word(at + layout_.ip, ip);
    word(at + layout_.sp, sp);
    word(at + layout_.bp, bp);
    word(at + layout_.cs, cs);
  }
  KernelStack walk(std::uint64_t ip, std::uint64_t sp, std::uint64_t bp = 0) {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      memory_.put(kTables + i * 4, static_cast<std::int32_t>(places_[i] - (kTables + i * 4)));
      memory_.put(kTables + 0x1000 + i * 6, rules_[i].sp);
      memory_.put(kTables + 0x1000 + i * 6 + 2, rules_[i].bp);
      memory_.put(kTables + 0x1000 + i * 6 + 4, rules_[i].bits);
    }
    OrcTable table;
    table.code.push_back({Gva{kText}, kTextSize});
    table.places = Gva{kTables};
    table.rules = Gva{kTables + 0x1000};
    table.count = places_.size();
    return walk_with(Unwinder(memory_, OrcTables(memory_, kLayout, {table}), layout_), ip, sp, bp);
  }
  KernelStack walk_by_frames(std::uint64_t ip, std::uint64_t sp, std::uint64_t bp) {
    return walk_with(Unwinder(memory_, std::nullopt, layout_, Gva{kText}, Gva{kText + kTextSize}),
                     ip, sp, bp);
  }
  static KernelStack walk_with(const Unwinder& unwinder, std::uint64_t ip, std::uint64_t sp,
                               std::uint64_t bp) {
    x86::Registers from;
    from.rip = ip;
    from.gpr[x86::kRsp] = sp;
    from.gpr[x86::kRbp] = bp;
    const StackArea areas[] = {{StackKind::task, Gva{kStack}, kStackSize},
                               {StackKind::interrupt, Gva{kInterrupt}, kStackSize}};
    return unwinder.walk(from, Gva{}, areas);
  }
  static std::vector<std::uint64_t> addresses(const KernelStack& stack) {
    std::vector<std::uint64_t> all;
    for (const auto& frame : stack.frames) all.push_back(frame.address.value);
    return all;
  }

  struct Rule {
    std::int16_t sp, bp;
    std::uint16_t bits;
  };
  Built memory_;
  SavedLayout layout_;
  std::vector<std::uint64_t> places_;
  std::vector<Rule> rules_;
};

TEST_F(Unwind, CallsToTheEndOfAKernelThread) {
  rule(0x0, kCall, 8);     // a leaf
  rule(0x100, kCall, 24);  // two words of its own
  rule(0x200, kEnd);
  word(kStack + 0x100, kText + 0x110);
  word(kStack + 0x118, kText + 0x210);
  const auto stack = walk(kText + 4, kStack + 0x100);
  EXPECT_EQ(addresses(stack),
            (std::vector<std::uint64_t>{kText + 4, kText + 0x110, kText + 0x210}));
  EXPECT_EQ(stack.broken, "");
  EXPECT_FALSE(stack.user);
  EXPECT_EQ(stack.frames[0].source, FrameSource::registers);
  EXPECT_EQ(stack.frames[1].source, FrameSource::call);
  EXPECT_TRUE(stack.frames[2].reliable);
}

TEST_F(Unwind, ACallAtTheEndOfAFunctionFollowsThatFunctionsRule) {
  rule(0x0, kCall, 8);
  rule(0x100, kCall, 8);  // ends with a call that does not return, at 0x1ff
  rule(0x200, kUndefined);
  rule(0x300, kEnd);
  word(kStack + 0x100, kText + 0x200);
  word(kStack + 0x108, kText + 0x301);
  const auto stack = walk(kText, kStack + 0x100);
  EXPECT_EQ(stack.frames.size(), 3U);
  EXPECT_EQ(stack.broken, "");
}

TEST_F(Unwind, AcrossAnInterruptsStackAndItsRegistersToTheProgram) {
  rule(0x0, kCall, 8);          // the handler
  rule(0x100, 0x208 | 0x1, 0);  // never used
  rule(0x200, kRegisters, 0);   // the entry of an interrupt
  rule(0x300, kCall, 8);        // what was interrupted, at its first instruction
  rule(0x400, kRegisters, 0);   // the entry of a system call
  // On the interrupts' stack, then on the task's.
  word(kInterrupt + 0x3f00, kText + 0x210);
  registers(kInterrupt + 0x3f08, kText + 0x300, kStack + 0x800, 0x77, 0x10);
  word(kStack + 0x800, kText + 0x410);
  registers(kStack + 0x808, 0x40'1000, 0x7fff'0000, 0x7fff'0040, 0x33);
  const auto stack = walk(kText + 1, kInterrupt + 0x3f00);
  EXPECT_EQ(addresses(stack),
            (std::vector<std::uint64_t>{kText + 1, kText + 0x210, kText + 0x300, kText + 0x410}));
  EXPECT_EQ(stack.broken, "");
  EXPECT_EQ(stack.frames[0].stack, StackKind::interrupt);
  EXPECT_EQ(stack.frames[2].stack, StackKind::task);
  EXPECT_EQ(stack.frames[2].source, FrameSource::interrupted);
  EXPECT_TRUE(stack.frames[2].exact);
  EXPECT_FALSE(stack.frames[3].exact);
  ASSERT_TRUE(stack.user);
  EXPECT_EQ(stack.user->ip, 0x40'1000U);
  EXPECT_EQ(stack.user->sp, 0x7fff'0000U);
  EXPECT_EQ(stack.user->bp, 0x7fff'0040U);
}

TEST_F(Unwind, FramePointersWhereTheRuleSaysSo) {
  rule(0x0, kFrameCall | 0, 16, -16);
  rule(0x200, kEnd);
  word(kStack + 0x200, 0xabc);
  word(kStack + 0x208, kText + 0x210);
  const auto stack = walk(kText + 8, kStack + 0x100, kStack + 0x200);
  EXPECT_EQ(stack.frames.size(), 2U);
  EXPECT_EQ(stack.broken, "");
}

/// A kernel with frame pointers and no ORC: a system call's entry leaves 0 as its caller's.
TEST_F(Unwind, WithoutRulesAStackEndsAtTheRegistersThatItBeginsWith) {
  for (const std::uint64_t free : {0, 16}) {
    const auto saved = kStack + kStackSize - free - layout_.size;
    word(kStack + 0x208, kText + 0x110);
    word(saved - 16, 0);
    word(saved - 8, kText + 0x210);
    word(kStack + 0x200, saved - 16);
    registers(saved, 0x40'1000, 0x7fff'0000, 0x7fff'0040, 0x33);
    const auto program = walk_by_frames(kText + 8, kStack + 0x100, kStack + 0x200);
    EXPECT_EQ(addresses(program),
              (std::vector<std::uint64_t>{kText + 8, kText + 0x110, kText + 0x210}));
    EXPECT_EQ(program.broken, "");
    ASSERT_TRUE(program.user);
    EXPECT_EQ(program.user->ip, 0x40'1000U);
    EXPECT_EQ(program.user->bp, 0x7fff'0040U);
    registers(saved, 0, 0, 0, 0);  // a kernel thread's
    const auto thread = walk_by_frames(kText + 8, kStack + 0x100, kStack + 0x200);
    EXPECT_EQ(thread.frames.size(), 3U);
    EXPECT_EQ(thread.broken, "");
    EXPECT_FALSE(thread.user);
  }
}

TEST_F(Unwind, CodeWithoutARuleIsGuessedAndMarked) {
  rule(0x100, kCall, 8);
  rule(0x200, kEnd);
  word(kStack + 0x200, 0xabc);
  word(kStack + 0x208, kText + 0x110);
  word(kStack + 0x210, kText + 0x210);
  const auto stack = walk(0xffff'ffff'c000'0000, kStack + 0x100, kStack + 0x200);
  ASSERT_EQ(stack.frames.size(), 3U);
  EXPECT_EQ(stack.frames[1].source, FrameSource::guess);
  EXPECT_FALSE(stack.frames[1].reliable);
  EXPECT_FALSE(stack.frames[2].reliable);
}

TEST_F(Unwind, ForgedStacksEndWithAWord) {
  rule(0x0, kCall, 8);
  rule(0x100, kRegisters, 0);
  rule(0x200, kCall, 0);
  // Registers that lead to themselves.
  word(kStack + 0x100, kText + 0x110);
  registers(kStack + 0x108, kText + 0x10, kStack + 0x100, 0, 0x10);
  EXPECT_EQ(walk(kText, kStack + 0x100).broken, "its stack goes the wrong way");
  // A rule that does not move.
  word(kStack + 0x2f8, kText + 0x210);
  EXPECT_EQ(walk(kText + 0x210, kStack + 0x300).broken, "its stack goes the wrong way");
  // Between two stacks, back and forth.
  word(kStack + 0x500, kText + 0x110);
  registers(kStack + 0x508, kText + 0x10, kInterrupt + 0x100, 0, 0x10);
  word(kInterrupt + 0x100, kText + 0x110);
  registers(kInterrupt + 0x108, kText + 0x10, kStack + 0x900, 0, 0x10);
  EXPECT_EQ(walk(kText, kStack + 0x500).broken, "its stack leads back into itself");
  // Off the stack, and to data.
  word(kStack + 0x700, kStack + 0x40);
  EXPECT_EQ(walk(kText, kStack + 0x700).broken, "its caller is no code");
  EXPECT_EQ(walk(kText, kStack - 8).broken, "it is entering or leaving the kernel");
  word(kStack + kStackSize - 8, kText + 4);
  EXPECT_EQ(walk(kText, kStack + kStackSize - 8).broken, "it leads off the stacks that are known");
}

TEST_F(Unwind, ADeepStackIsBounded) {
  rule(0x0, kCall, 8);
  for (std::uint64_t at = 0; at < kStackSize; at += 8) word(kStack + at, kText + 4);
  const auto stack = walk(kText + 4, kStack);
  EXPECT_EQ(stack.frames.size(), Unwinder::kMaxFrames);
  EXPECT_EQ(stack.broken, "it is deeper than any that is walked");
}

TEST_F(Unwind, AnUnreadableOrForgedTableIsSaid) {
  rule(0x0, 0x20f);  // a base that no kernel has
  EXPECT_EQ(walk(kText + 4, kStack + 0x100).broken, "the rule for its code cannot be read");
}

TEST_F(Unwind, InUserModeThereIsNoKernelStack) {
  const Unwinder unwinder(memory_, std::nullopt, layout_);
  x86::Registers from;
  from.rip = 0x40'1000;
  from.ss.selector = 0x2b;
  const auto stack = unwinder.of_cpu(from, 0, Gva{});
  EXPECT_TRUE(stack.frames.empty());
  ASSERT_TRUE(stack.user);
  EXPECT_EQ(stack.user->ip, 0x40'1000U);
}

}  // namespace
}  // namespace vitrine::linux
