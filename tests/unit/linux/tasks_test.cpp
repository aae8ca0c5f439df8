#include <gtest/gtest.h>

#include <array>

#include "fake_memory.h"
#include "linux/tasks_memory.h"
#include "linux/tasks_row.h"
#include "linux/tasks_state.h"
#include "linux/tasks_time.h"

namespace vitrine::linux {
namespace {

TEST(StateLetter, IsThatOfProc) {
  EXPECT_EQ(state_letter(0, 0), 'R');
  EXPECT_EQ(state_letter(1, 0), 'S');
  EXPECT_EQ(state_letter(2, 0), 'D');
  EXPECT_EQ(state_letter(0x102, 0), 'D');  // TASK_KILLABLE
  EXPECT_EQ(state_letter(0x104, 0), 'T');  // TASK_STOPPED
  EXPECT_EQ(state_letter(8, 0), 't');
  EXPECT_EQ(state_letter(0x80, 0x10), 'X');
  EXPECT_EQ(state_letter(0x80, 0x20), 'Z');
  EXPECT_EQ(state_letter(0x40, 0), 'P');
  EXPECT_EQ(state_letter(0x402, 0), 'I');
  EXPECT_EQ(state_letter(0x2001, 0), 'S');  // TASK_INTERRUPTIBLE | TASK_FREEZABLE
  EXPECT_EQ(state_letter(0x8000, 0), 'D');  // TASK_FROZEN
  EXPECT_EQ(state_letter(0x1000, 0), 'D');  // TASK_RTLOCK_WAIT
  EXPECT_EQ(state_letter(UINT64_MAX, UINT32_MAX), 'D');
}

TEST(PolicyName, KnowsThePolicies) {
  EXPECT_EQ(policy_name(0), "other");
  EXPECT_EQ(policy_name(6), "deadline");
  EXPECT_FALSE(policy_name(4));
  EXPECT_FALSE(policy_name(UINT32_MAX));
}

TEST(CpuList, IsThatOfProc) {
  const std::array<std::uint64_t, 2> words{0b1011, 1};
  EXPECT_EQ(cpu_list(words.data(), 2, 128), "0-1,3,64");
  EXPECT_EQ(cpu_list(words.data(), 2, 2), "0-1");
  EXPECT_EQ(cpu_list(words.data(), 2, 0), "");
  const std::array<std::uint64_t, 1> all{UINT64_MAX};
  EXPECT_EQ(cpu_list(all.data(), 1, 8192), "0-63");
}

TEST(AdjustedCpuTime, DividesTheRunTimeAsTheTicksWere) {
  EXPECT_EQ(adjusted_cpu_time({30, 10}, 80, {}), (CpuTime{60, 20}));
  EXPECT_EQ(adjusted_cpu_time({30, 0}, 80, {}), (CpuTime{80, 0}));
  EXPECT_EQ(adjusted_cpu_time({0, 10}, 80, {}), (CpuTime{0, 80}));
  EXPECT_EQ(adjusted_cpu_time({0, 0}, 80, {}), (CpuTime{80, 0}));
}

TEST(AdjustedCpuTime, NeverTakesBackWhatWasTold) {
  EXPECT_EQ(adjusted_cpu_time({30, 10}, 80, {70, 20}), (CpuTime{70, 20}));  // told already
  EXPECT_EQ(adjusted_cpu_time({30, 10}, 80, {10, 50}), (CpuTime{30, 50}));
  EXPECT_EQ(adjusted_cpu_time({10, 30}, 80, {50, 10}), (CpuTime{50, 30}));
}

TEST(AdjustedCpuTime, ForgedTicksDivideNothingByZero) {
  const auto time = adjusted_cpu_time({UINT64_MAX, UINT64_MAX}, UINT64_MAX, {1, 1});
  EXPECT_EQ(time.user + time.system, UINT64_MAX);
  (void)adjusted_cpu_time({1, UINT64_MAX}, 5, {});
  (void)adjusted_cpu_time({UINT64_MAX, 1}, 5, {3, 1});
}

TEST(UserBytes, StopAtThePageThatIsNotThere) {
  test::FakeMemory memory;
  memory.write(Gva{0x7000}, std::vector<std::byte>(4096, std::byte{'a'}));
  const auto whole = read_user_bytes(memory, Gva{0x7ff0}, 16, 4096);
  EXPECT_EQ(whole.bytes, std::string(16, 'a'));
  EXPECT_FALSE(whole.cut);
  const auto part = read_user_bytes(memory, Gva{0x7ff0}, 64, 4096);
  EXPECT_EQ(part.bytes, std::string(16, 'a'));
  EXPECT_TRUE(part.cut);
  EXPECT_TRUE(read_user_bytes(memory, Gva{0x7000}, 64, 32).cut);
  EXPECT_EQ(read_user_bytes(memory, Gva{0x7000}, UINT64_MAX, 32).bytes.size(), 32U);
  EXPECT_TRUE(read_user_bytes(memory, Gva{0x9000}, 1, 32).cut);
}

TEST(SplitStrings, EndsEachAtItsNul) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(split_strings("").empty());
  EXPECT_EQ(split_strings("a\0bc\0"sv), (std::vector<std::string>{"a", "bc"}));
  EXPECT_EQ(split_strings("\0\0"sv), (std::vector<std::string>{"", ""}));
  EXPECT_EQ(split_strings("a\0open"sv), (std::vector<std::string>{"a", "open"}));
}

TEST(DeviceText, SplitsTheKernelsDeviceNumber) {
  EXPECT_EQ(device_text(8 << 20 | 1), "8:1");
  EXPECT_EQ(device_text(0xffff'ffff), "4095:1048575");
}

}  // namespace
}  // namespace vitrine::linux
