#include "linux/stack/saved_registers.h"

#include <gtest/gtest.h>

#include "fake_memory.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kUserCode = 0x33, kUserData = 0x2b, kKernelCode = 0x10;
constexpr Gva kProgram{0x40'1234}, kProgramStack{0x7ffd'0000'1000};

/// A stack whose first registers end `free` bytes below its end.
StackArea stack_with(test::FakeMemory& memory, std::uint64_t pages, std::uint64_t free,
                     std::uint64_t code) {
  const SavedLayout layout;
  const StackArea stack{StackKind::task, Gva{0xffff'c900'0000'0000}, pages * kPageSize};
  memory.put(stack.end() - 8, std::uint64_t{0});
  const Gva registers = stack.end() - free - layout.size;
  memory.put(registers + layout.ip, kProgram);
  memory.put(registers + layout.sp, kProgramStack);
  memory.put(registers + layout.cs, code);
  memory.put(registers + layout.ss, kUserData);
  return stack;
}

TEST(SavedRegisters, EndTheStackOrLeaveRoomForFred) {
  for (const std::uint64_t pages : {4, 8, 16}) {  // 8 and 16: with KASAN
    for (const std::uint64_t free : {0, 16}) {
      test::FakeMemory memory;
      const auto stack = stack_with(memory, pages, free, kUserCode);
      const auto state = saved_user_state(memory, SavedLayout{}, stack);
      ASSERT_TRUE(state.has_value()) << pages << ' ' << free;
      EXPECT_EQ(state->ip, kProgram.value);
      EXPECT_EQ(state->sp, kProgramStack.value);
      EXPECT_EQ(state->saved_at, stack.end() - free - SavedLayout{}.size);
    }
  }
}

TEST(SavedRegisters, OfAnotherPlaceOrOfTheKernelAreNone) {
  for (const auto& [free, code] :
       {std::pair{8UL, kUserCode}, std::pair{32UL, kUserCode}, std::pair{16UL, kKernelCode}}) {
    test::FakeMemory memory;
    const auto stack = stack_with(memory, 4, free, code);
    EXPECT_FALSE(saved_user_state(memory, SavedLayout{}, stack).has_value()) << free;
  }
}

}  // namespace
}  // namespace vitrine::linux
