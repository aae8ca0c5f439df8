#include "x86/descriptor.h"

#include <gtest/gtest.h>

#include <array>

namespace vitrine::x86 {
namespace {

std::array<std::byte, kGateSize> gate_of(std::uint64_t low, std::uint64_t high) {
  std::array<std::byte, kGateSize> bytes;
  std::memcpy(bytes.data(), &low, 8);
  std::memcpy(bytes.data() + 8, &high, 8);
  return bytes;
}

// The double-fault gate of a running 6.1 kernel: IST 1, handler 0xffffffff81c00a40.
TEST(Descriptor, DecodesAnInterruptGate) {
  const auto gate = decode_gate(gate_of(0x81c0'8e01'0010'0a40, 0x0000'0000'ffff'ffff));
  ASSERT_TRUE(gate);
  EXPECT_EQ(gate->handler, Gva{0xffff'ffff'81c0'0a40});
  EXPECT_EQ(gate->selector, 0x10);
  EXPECT_EQ(gate->ist, 1);
  EXPECT_EQ(gate->dpl, 0);
  EXPECT_TRUE(gate->present);
  EXPECT_FALSE(gate->reserved_bits);
  EXPECT_EQ(gate_type_name(gate->type), "interrupt");
}

TEST(Descriptor, DecodesPrivilegeAndTrap) {
  const auto gate = decode_gate(gate_of(0x0000'ef00'0010'0000, 0));
  ASSERT_TRUE(gate);
  EXPECT_EQ(gate->dpl, 3);
  EXPECT_EQ(gate_type_name(gate->type), "trap");
}

TEST(Descriptor, AbsentAndForgedGatesAreSaidToBeSo) {
  const auto absent = decode_gate(gate_of(0, 0));
  ASSERT_TRUE(absent);
  EXPECT_FALSE(absent->present);
  EXPECT_EQ(gate_type_name(absent->type), "");
  EXPECT_TRUE(decode_gate(gate_of(0x0000'9e00'0010'0000, 0))->reserved_bits);
  EXPECT_TRUE(decode_gate(gate_of(0x0000'8e00'0010'0000, 0x0000'0100'0000'0000))->reserved_bits);
}

TEST(Descriptor, NeedsAllSixteenBytes) {
  const auto bytes = gate_of(0, 0);
  for (std::size_t size = 0; size < kGateSize; ++size) {
    EXPECT_EQ(decode_gate(Bytes(bytes).first(size)).error().code, Errc::out_of_bounds) << size;
  }
}

TEST(Descriptor, NamesWhatTheArchitectureNames) {
  EXPECT_EQ(exception_name(14), "#PF");
  EXPECT_EQ(exception_name(2), "NMI");
  EXPECT_EQ(exception_name(15), "");
  EXPECT_EQ(exception_name(0x80), "");
  EXPECT_EQ(exception_name(1000), "");
}

}  // namespace
}  // namespace vitrine::x86
