#include "x86/instruction.h"

#include <gtest/gtest.h>

#include <vector>

namespace vitrine::x86 {
namespace {

std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
  std::vector<std::byte> out;
  for (const auto value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

// Bytes as GNU as writes them; the length is that of objdump's line.
TEST(Instruction, LengthsAreThoseOfTheAssembler) {
  const std::vector<std::vector<std::byte>> whole = {
      bytes({0xf3, 0x0f, 0x1e, 0xfa}),        // endbr64
      bytes({0x0f, 0x1f, 0x44, 0x00, 0x00}),  // nopl 0(%rax,%rax)
      bytes({0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00,
             0x00}),                                         // nopw %cs:0(%rax,%rax)
      bytes({0xe8, 1, 2, 3, 4}),                             // call
      bytes({0x66, 0xe9, 1, 2, 3, 4}),                       // jmp, with an idle prefix
      bytes({0x55}),                                         // push %rbp
      bytes({0x41, 0x57}),                                   // push %r15
      bytes({0x48, 0x89, 0xe5}),                             // mov %rsp, %rbp
      bytes({0x48, 0x83, 0xec, 0x10}),                       // sub $16, %rsp
      bytes({0x48, 0x81, 0xec, 0, 1, 0, 0}),                 // sub $256, %rsp
      bytes({0x65, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0}),  // mov %gs:40, %rax
      bytes({0x48, 0x8b, 0x05, 1, 2, 3, 4}),                 // mov x(%rip), %rax
      bytes({0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}),           // movabs
      bytes({0x66, 0xb8, 1, 2}),                             // mov $w, %ax
      bytes({0x48, 0xc7, 0xc0, 1, 2, 3, 4}),                 // mov $d, %rax
      bytes({0x66, 0xc7, 0x45, 0xfe, 1, 2}),                 // movw $w, -2(%rbp)
      bytes({0xf6, 0x43, 0x10, 0x01}),                       // testb $1, 16(%rbx)
      bytes({0xf7, 0xd8}),                                   // neg %eax
      bytes({0x0f, 0x84, 1, 2, 3, 4}),                       // je
      bytes({0x0f, 0xba, 0x2d, 1, 2, 3, 4, 5}),              // btsl $5, x(%rip)
      bytes({0x0f, 0x22, 0xd8}),                             // mov %rax, %cr3
      bytes({0x0f, 0x20, 0x05}),                             // mov %cr0, %rbp: no displacement
      bytes({0xf0, 0x48, 0x0f, 0xb1, 0x0b}),                 // lock cmpxchg
      bytes({0xc8, 0x10, 0x00, 0x00}),                       // enter
      bytes({0xc2, 0x08, 0x00}),                             // ret $8
      bytes({0xff, 0x24, 0xc5, 1, 2, 3, 4}),                 // jmp *x(,%rax,8)
      bytes({0xa1, 1, 2, 3, 4, 5, 6, 7, 8}),                 // movabs x, %eax
      bytes({0x0f, 0x38, 0xf0, 0x00}),                       // movbe
      bytes({0x66, 0x0f, 0x3a, 0x0f, 0xc1, 0x08}),           // palignr
      bytes({0xc5, 0xf8, 0x77}),                             // vzeroupper
      bytes({0xc4, 0xe2, 0x7d, 0x59, 0x05, 1, 2, 3, 4}),     // vpbroadcastq x(%rip)
      bytes({0xc5, 0xfd, 0x70, 0xc0, 0x4e}),                 // vpshufd
      bytes({0x62, 0xf1, 0x7c, 0x48, 0x10, 0x40, 0x01}),     // vmovups 64(%rax), %zmm0
      bytes({0x0f, 0x0b}),                                   // ud2
      bytes({0xcc}),
  };
  for (std::size_t i = 0; i < whole.size(); ++i) {
    auto padded = whole[i];
    padded.resize(32, std::byte{0x90});
    EXPECT_EQ(instruction_length(padded), whole[i].size()) << i;
    for (std::size_t cut = 0; cut < whole[i].size(); ++cut)
      EXPECT_FALSE(instruction_length(Bytes(whole[i]).first(cut))) << i << " " << cut;
  }
}

TEST(Instruction, FollowsOneAnother) {
  const auto code = bytes({0xf3, 0x0f, 0x1e, 0xfa, 0xe8, 0xe9, 0, 0, 0, 0xc3});
  EXPECT_TRUE(is_instruction_start(code, 4));
  EXPECT_FALSE(is_instruction_start(code, 5));  // the 0xe9 within the call
  EXPECT_TRUE(is_instruction_start(code, 9));
}

TEST(Instruction, NothingIsMadeOfNonsense) {
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const auto length =
          instruction_length(bytes({first, second, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
      EXPECT_LE(length.value_or(0), 15U);
    }
  }
}

}  // namespace
}  // namespace vitrine::x86
