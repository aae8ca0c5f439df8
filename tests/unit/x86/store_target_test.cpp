#include "x86/store_target.h"

#include <gtest/gtest.h>

#include <vector>

namespace vitrine::x86 {
namespace {

StoreTarget decode(std::initializer_list<int> bytes, bool long_mode = true) {
  std::vector<std::byte> copy;
  for (const int byte : bytes) copy.push_back(static_cast<std::byte>(byte));
  return decode_store_target(copy, long_mode);
}

// The bytes are those of `as` and `objdump`.
TEST(StoreTarget, Operands) {
  const auto plain = decode({0x48, 0x89, 0x44, 0x8b, 0xf8});  // mov %rax,-8(%rbx,%rcx,4)
  EXPECT_EQ(plain.kind, StoreTarget::operand);
  EXPECT_EQ(plain.memory, (MemoryOperand{.base = 3, .index = 1, .scale = 4, .displacement = -8}));
  EXPECT_FALSE(plain.narrow);
  const auto rip = decode({0xc7, 0x05, 0x10, 0, 0, 0, 1, 0, 0, 0});  // movl $1,0x10(%rip)
  EXPECT_EQ(rip.memory, (MemoryOperand{.displacement = 0x10, .rip_relative = true}));
  const auto gs = decode({0x65, 0x48, 0x89, 0x20});  // mov %rsp,%gs:(%rax)
  EXPECT_EQ(gs.memory, (MemoryOperand{.base = 0, .segment = 5}));
  EXPECT_TRUE(decode({0x67, 0x89, 0x07}).narrow);                       // mov %eax,(%edi)
  EXPECT_EQ(decode({0x8f, 0x44, 0x24, 0x08}).memory.displacement, 16);  // popq 8(%rsp)
  EXPECT_EQ(decode({0x8f, 0x84, 0x24, 0xff, 0xff, 0xff, 0x7f}).memory.displacement, 0x8000'0007);
}

TEST(StoreTarget, WhatOnlyReadsIsNone) {
  for (const auto& bytes : {std::initializer_list<int>{0x48, 0x8b, 0x03},  // mov (%rbx),%rax
                            {0x48, 0x39, 0x03},                            // cmp %rax,(%rbx)
                            {0x83, 0x3b, 0x01},                            // cmpl $1,(%rbx)
                            {0xf6, 0x03, 0x01},                            // testb $1,(%rbx)
                            {0x48, 0x8d, 0x03},                            // lea (%rbx),%rax
                            {0x0f, 0xb6, 0x03},                            // movzbl (%rbx),%eax
                            {0x48, 0x89, 0xc3},                            // mov %rax,%rbx
                            {0x0f, 0x1f, 0x00},                            // nopl (%rax)
                            {0xc5, 0xfc, 0x10, 0x03},                      // vmovups (%rbx),%ymm0
                            {0x58},                                        // pop %rax
                            {0xc3}})                                       // ret
    EXPECT_EQ(decode(bytes).kind, StoreTarget::none);
}

TEST(StoreTarget, Atomics) {
  const auto add = decode({0xf0, 0x48, 0x01, 0x03});  // lock add %rax,(%rbx)
  EXPECT_TRUE(add.atomic);
  EXPECT_FALSE(add.exchanges);
  EXPECT_TRUE(decode({0x87, 0x03}).exchanges);                   // xchg %eax,(%rbx)
  EXPECT_TRUE(decode({0xf0, 0x0f, 0xb1, 0x13}).compares);        // lock cmpxchg %edx,(%rbx)
  EXPECT_FALSE(decode({0x0f, 0xb1, 0x13}).compares);             // cmpxchg %edx,(%rbx)
  EXPECT_TRUE(decode({0xf0, 0x48, 0x0f, 0xc7, 0x0b}).compares);  // lock cmpxchg16b (%rbx)
  const auto bit = decode({0xf0, 0x4c, 0x0f, 0xab, 0x0b});       // lock bts %r9,(%rbx)
  EXPECT_EQ(bit.bits, 8);
  EXPECT_EQ(bit.bit_index, 9);
}

TEST(StoreTarget, StackAndStrings) {
  for (const auto& bytes : {std::initializer_list<int>{0x50},  // push %rax
                            {0x41, 0x54},                      // push %r12
                            {0xe8, 0, 0, 0, 0},                // call
                            {0xff, 0xd0},                      // call *%rax
                            {0xff, 0x15, 0, 0, 0, 0},          // call *0(%rip)
                            {0x9c}})                           // pushf
    EXPECT_EQ(decode(bytes).kind, StoreTarget::stack);
  const auto repeated = decode({0xf3, 0x48, 0xab});  // rep stos %rax,(%rdi)
  EXPECT_EQ(repeated.kind, StoreTarget::string);
  EXPECT_EQ(repeated.size, 8);
  EXPECT_TRUE(repeated.repeated);
  EXPECT_EQ(decode({0xa4}).size, 1);  // movsb
}

TEST(StoreTarget, Vectors) {
  EXPECT_EQ(decode({0x66, 0x0f, 0x7f, 0x03}).kind, StoreTarget::operand);  // movdqa %xmm0,(%rbx)
  const auto wide = decode({0xc4, 0xc1, 0x7e, 0x7f, 0x03});                // vmovdqu %ymm0,(%r11)
  EXPECT_EQ(wide.memory, (MemoryOperand{.base = 11}));
  EXPECT_EQ(wide.size, 32);
  EXPECT_EQ(decode({0xdd, 0x33}).size, 112);               // fnsave (%rbx)
  EXPECT_EQ(decode({0x48, 0x0f, 0xae, 0x23}).size, 4096);  // xsave64 (%rbx)
}

TEST(StoreTarget, Of32BitCode) {
  const auto absolute = decode({0xa3, 0x00, 0x10, 0x00, 0x08}, false);  // mov %eax,0x8001000
  EXPECT_EQ(absolute.memory, (MemoryOperand{.displacement = 0x08001000}));
  EXPECT_TRUE(absolute.narrow);
  // In 64-bit code the displacement counts from the instruction, here it is the address.
  EXPECT_FALSE(decode({0x89, 0x05, 0, 0x10, 0, 8}, false).memory.rip_relative);
  EXPECT_EQ(decode({0x40}, false).kind, StoreTarget::none);        // inc %eax
  EXPECT_EQ(decode({0xc4, 0x03}, false).kind, StoreTarget::none);  // les (%ebx),%eax
  EXPECT_EQ(decode({0x67, 0x89, 0x07}, false).kind, StoreTarget::none);
}

TEST(StoreTarget, CutShortIsNone) {
  EXPECT_EQ(decode({}).kind, StoreTarget::none);
  EXPECT_EQ(decode({0x48, 0x89}).kind, StoreTarget::none);
  EXPECT_EQ(decode({0x89, 0x84}).kind, StoreTarget::none);
  EXPECT_EQ(decode({0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0,
                    0xf0, 0xf0})
                .kind,
            StoreTarget::none);
}

// Found by the comparison with Zydis, tests/fuzz/store_target_fuzz.cpp.
TEST(StoreTarget, ThirtyTwoBitCodeHasItsOwn) {
  EXPECT_EQ(decode({0x63, 0x03}, false).kind, StoreTarget::operand);  // arpl %ax,(%ebx)
  EXPECT_EQ(decode({0x48, 0x63, 0x03}).kind, StoreTarget::none);      // movslq (%rbx),%rax
  EXPECT_EQ(decode({0x9a, 0, 0, 0, 0, 0x23, 0}, false).kind, StoreTarget::stack);  // lcall
  // VEX has no eight registers more there: vmovdqu %ymm0,(%eax)
  EXPECT_EQ(decode({0xc4, 0xc1, 0x7e, 0x7f, 0x00}, false).memory.base, 0);
  EXPECT_EQ(decode({0xc4, 0xc1, 0x7e, 0x7f, 0x00}).memory.base, 8);
}

TEST(StoreTarget, OfSeveralRexTheLastCountsAndOnlyRightBeforeTheOpcode) {
  EXPECT_EQ(decode({0x41, 0x40, 0x0f, 0x11, 0x79, 0x50}).memory.base, 1);
  EXPECT_EQ(decode({0x41, 0x66, 0x89, 0x01}).memory.base, 1);
  EXPECT_EQ(decode({0x66, 0x41, 0x89, 0x01}).memory.base, 9);
}

}  // namespace
}  // namespace vitrine::x86
