#include "x86/system_instruction.h"

#include <gtest/gtest.h>

#include <vector>

namespace vitrine::x86 {
namespace {

using Kind = SystemInstruction::Kind;

SystemInstruction decode(std::initializer_list<int> bytes) {
  std::vector<std::byte> copy;
  for (const int byte : bytes) copy.push_back(static_cast<std::byte>(byte));
  return decode_system_instruction(copy);
}

// The bytes are those of `as` and `objdump`.
TEST(SystemInstruction, ControlRegisters) {
  EXPECT_EQ(decode({0x0f, 0x22, 0xd8}),
            (SystemInstruction{.kind = Kind::write_control, .control = 3, .reg = 0}));
  EXPECT_EQ(decode({0x41, 0x0f, 0x22, 0xdf}),
            (SystemInstruction{.kind = Kind::write_control, .control = 3, .reg = 15}));
  EXPECT_EQ(decode({0x44, 0x0f, 0x22, 0xc6}),
            (SystemInstruction{.kind = Kind::write_control, .control = 8, .reg = 6}));
  EXPECT_EQ(decode({0x0f, 0x06}).kind, Kind::clts);
  EXPECT_EQ(decode({0x0f, 0x01, 0xf0}), (SystemInstruction{.kind = Kind::lmsw, .reg = 0}));
  EXPECT_EQ(decode({0x0f, 0x20, 0xd8}).kind, Kind::other);  // mov rax, cr3
}

TEST(SystemInstruction, TablesAndTheirOperands) {
  const auto rsp = decode({0x0f, 0x01, 0x1c, 0x24});  // lidt (%rsp)
  EXPECT_EQ(rsp.kind, Kind::lidt);
  EXPECT_EQ(rsp.memory, (MemoryOperand{.base = 4}));
  const auto rip = decode({0x0f, 0x01, 0x15, 0x10, 0, 0, 0});  // lgdt 0x10(%rip)
  EXPECT_EQ(rip.kind, Kind::lgdt);
  EXPECT_EQ(rip.memory, (MemoryOperand{.displacement = 0x10, .rip_relative = true}));
  const auto sib = decode({0x65, 0x43, 0x0f, 0x01, 0x5c, 0xac, 0xf8});  // lidt %gs:-8(%r12,%r13,4)
  EXPECT_EQ(sib.memory,
            (MemoryOperand{.base = 12, .index = 13, .scale = 4, .displacement = -8, .segment = 5}));
  const auto absolute =
      decode({0x0f, 0x01, 0x1c, 0x25, 0, 0x10, 0, 0xff});  // lidt 0xffffffffff001000
  EXPECT_EQ(absolute.memory, (MemoryOperand{.displacement = -0xfff000}));
  EXPECT_EQ(decode({0x0f, 0x01, 0xd8}).kind, Kind::other);        // vmrun
  EXPECT_EQ(decode({0x0f, 0x01, 0x04, 0x24}).kind, Kind::other);  // sgdt
}

TEST(SystemInstruction, Ports) {
  EXPECT_EQ(decode({0xec}), (SystemInstruction{.kind = Kind::in, .size = 1}));
  EXPECT_EQ(decode({0x66, 0xed}), (SystemInstruction{.kind = Kind::in, .size = 2}));
  EXPECT_EQ(decode({0xe6, 0x80}), (SystemInstruction{.kind = Kind::out, .size = 1, .port = 0x80}));
  EXPECT_EQ(decode({0xef}), (SystemInstruction{.kind = Kind::out, .size = 4}));
  EXPECT_EQ(decode({0xf3, 0x6c}), (SystemInstruction{.kind = Kind::ins, .size = 1}));
  EXPECT_EQ(decode({0xf3, 0x66, 0x6f}), (SystemInstruction{.kind = Kind::outs, .size = 2}));
}

TEST(SystemInstruction, WhatIsCutShortIsNothing) {
  EXPECT_EQ(decode({}).kind, Kind::other);
  EXPECT_EQ(decode({0x0f}).kind, Kind::other);
  EXPECT_EQ(decode({0x0f, 0x22}).kind, Kind::other);
  EXPECT_EQ(decode({0x0f, 0x01, 0x15, 0x10}).kind, Kind::other);
  EXPECT_EQ(decode({0xe6}).kind, Kind::other);
  EXPECT_EQ(decode({0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                    0x66, 0x66})
                .kind,
            Kind::other);
  EXPECT_EQ(decode({0x0f, 0x30}).kind, Kind::wrmsr);
  EXPECT_EQ(decode({0x48, 0x89, 0xe5}).kind, Kind::other);
}

}  // namespace
}  // namespace vitrine::x86
