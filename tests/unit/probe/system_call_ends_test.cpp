#include "probe/agent/system_call_ends.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

namespace vitrine::probe {
namespace {

constexpr std::uint64_t kStart = 0xffffffff81000000;

class Code final : public VirtualMemory {
 public:
  Code(std::initializer_list<unsigned> bytes) {
    for (const auto byte : bytes) bytes_.push_back(static_cast<std::byte>(byte));
  }
  Result<void> read(Gva from, MutableBytes into) const override {
    const auto at = from.value - kStart;
    if (at > bytes_.size() || bytes_.size() - at < into.size())
      return fail(Errc::not_present, from.value, "code");
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at), into.size(), into.begin());
    return {};
  }
  [[nodiscard]] Result<std::optional<ResultPlace>> join(
      StoredResult kind = StoredResult::rax) const {
    return find_result_join(*this, kStart, bytes_.size(), 80, kind);
  }

 private:
  std::vector<std::byte> bytes_;
};

void expect_join(const Code& code, std::uint64_t offset, unsigned reg,
                 StoredResult kind = StoredResult::rax) {
  const auto found = code.join(kind);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->address, kStart + offset);
  EXPECT_EQ((*found)->reg, reg);
}

// As do_syscall_64 of 7.x: two tables of calls, and a way round both.
TEST(SystemCallEnds, RefusedCallsComeByTheSameWay) {
  expect_join({0x49, 0x89, 0xfc,              // 0: mov r12, rdi
               0x85, 0xc0, 0x74, 0x16,        // 3: test eax, eax; je 0x1d
               0x85, 0xdb, 0x74, 0x0a,        // 7: test ebx, ebx; je 0x15
               0xff, 0xd0,                    // b: call rax
               0x49, 0x89, 0x44, 0x24, 0x50,  // d: mov [r12+80], rax
               0x90, 0xeb, 0x08,              // 12: nop; jmp 0x1d
               0x90,                          // 15
               0xff, 0xd0,                    // 16: call rax
               0x49, 0x89, 0x44, 0x24, 0x50,  // 18: mov [r12+80], rax
               0xff, 0xd0, 0xc3},             // 1d: call rax; ret
              0x1d, 12);
}

// As ret_from_fork: only a kernel thread that becomes a program stores its result.
TEST(SystemCallEnds, ANewTaskStoresNothing) {
  expect_join({0x48, 0x89, 0xf5,                                // 0: mov rbp, rsi
               0x85, 0xdb, 0x75, 0x03,                          // 3: test ebx, ebx; jne 0xa
               0xff, 0xd0, 0xc3,                                // 7: call rax; ret
               0xff, 0xd3,                                      // a: call rbx
               0x48, 0xc7, 0x45, 0x50, 0x00, 0x00, 0x00, 0x00,  // c: mov qword [rbp+80], 0
               0xeb, 0xf1},                                     // 14: jmp 7
              0x7, 5, StoredResult::constant);
}

TEST(SystemCallEnds, NotBehindACall) {
  // Another way out that does not pass where the stores do: theirs is taken, not a later one.
  expect_join({0x48, 0x89, 0xfb,        // 0: mov rbx, rdi
               0x85, 0xc0, 0x74, 0x08,  // 3: test eax, eax; je 0xf
               0xff, 0xd0,              // 7: call rax
               0x48, 0x89, 0x43, 0x50,  // 9: mov [rbx+80], rax
               0xff, 0xd0,              // d: call rax
               0xc3},                   // f: ret
              0xd, 3);
}

TEST(SystemCallEnds, ARegisterThatChangesIsNotTaken) {
  const Code code{0x48, 0x89, 0xfb,        // mov rbx, rdi
                  0x48, 0x89, 0x43, 0x50,  // mov [rbx+80], rax
                  0x31, 0xdb, 0xc3};       // xor ebx, ebx; ret
  EXPECT_EQ(code.join().value(), std::nullopt);
  EXPECT_EQ(Code({0x90, 0xc3}).join().value(), std::nullopt);
  EXPECT_FALSE(Code({0x06}).join());  // no instruction of 64-bit code
}

TEST(SystemCallEnds, LoopsEnd) {
  const Code code{0x48, 0x89, 0xfb,        // 0: mov rbx, rdi
                  0x48, 0x89, 0x43, 0x50,  // 3: mov [rbx+80], rax
                  0xeb, 0xfa};             // 7: jmp 3
  EXPECT_TRUE(code.join());
}

}  // namespace
}  // namespace vitrine::probe
