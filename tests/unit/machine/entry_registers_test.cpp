// The states of CPUs in QEMU's memory, found by what the monitor tells of them. The layout of the
// sample is that of QEMU 10.0.2; what lies between its parts is noise.
#include "machine/entry_registers.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace vitrine {
namespace {

constexpr std::uint64_t kStar = 0x0023'0010'0000'0000;
constexpr Hva kAt{0x5625'c709'1000};
constexpr std::uint64_t kDistance = 10920;  // from gdt.base to sysenter_cs

x86::Registers registers_of(std::uint64_t cpu) {
  x86::Registers registers;
  registers.gdtr = {Gva(0xffff'fe71'd3dd'3000 + cpu * 0x3b000), 0x7f};
  registers.idtr = {Gva(0xffff'fe00'0000'0000), 0xfff};
  registers.tr.base = registers.gdtr.base.value + 0x2000;
  registers.cr0 = 0x8005'0033;
  registers.cr4 = 0x75'1ef0;
  registers.efer = 0xd01;
  return registers;
}

class QemuMemory {
 public:
  explicit QemuMemory(std::size_t size) : bytes_(size) {
    std::mt19937_64 noise(7);
    for (std::size_t at = 0; at + 8 <= size; at += 8) put(at, noise());
  }
  void put(std::uint64_t at, std::uint64_t value) { std::memcpy(&bytes_[at], &value, 8); }
  void put32(std::uint64_t at, std::uint32_t value) { std::memcpy(&bytes_[at], &value, 4); }
  /// A CPU's state, its gdt.base at `gdtr`.
  void put_state(std::uint64_t gdtr, const x86::Registers& cpu, std::uint64_t lstar) {
    put(gdtr - 24, cpu.tr.base);
    put(gdtr, cpu.gdtr.base.value);
    put32(gdtr + 8, cpu.gdtr.limit);
    put(gdtr + 24, cpu.idtr.base.value);
    put32(gdtr + 32, cpu.idtr.limit);
    put(gdtr + 40, cpu.cr0);
    put(gdtr + 72, cpu.cr4);
    const auto entry = gdtr + kDistance;
    put(entry + 24, kStar);
    put(entry + 40, lstar);
    put(entry + 56, 0x25'7fd5);
  }
  [[nodiscard]] Bytes bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

TEST(EntryRegistersTest, EachCpuIsFoundByWhatTheMonitorTellsOfIt) {
  const std::vector cpus{registers_of(0), registers_of(1)};
  QemuMemory memory(256 * kKiB);
  memory.put_state(0x8000, cpus[1], 0xffff'ffff'8200'0080);
  memory.put_state(0x20008, cpus[0], 0xffff'ffff'8200'0080);
  const auto found = find_cpu_states(memory.bytes(), kAt, cpus, kStar);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].cpu, 1u);
  EXPECT_EQ(found[0].gdtr, kAt + 0x8000);
  EXPECT_EQ(found[0].entry, kAt + 0x8000 + kDistance);
  EXPECT_EQ(found[1].cpu, 0u);
  EXPECT_EQ(found[1].gdtr, kAt + 0x20008);
}

TEST(EntryRegistersTest, OneRegisterThatDiffersMakesItNobodys) {
  const std::vector cpus{registers_of(0)};
  for (const std::uint64_t offset : {0u, 8u, 24u, 32u, 40u, 72u}) {
    QemuMemory memory(64 * kKiB);
    memory.put_state(0x4000, cpus[0], 0xffff'ffff'8200'0080);
    memory.put32(0x4000 + offset, 0x1234'5678);
    EXPECT_TRUE(find_cpu_states(memory.bytes(), kAt, cpus, kStar).empty()) << offset;
  }
  QemuMemory memory(64 * kKiB);
  memory.put_state(0x4000, cpus[0], 0xffff'ffff'8200'0080);
  memory.put(0x4000 - 24, 1);  // TR
  EXPECT_TRUE(find_cpu_states(memory.bytes(), kAt, cpus, kStar).empty());
}

TEST(EntryRegistersTest, DecoysAreTold) {
  const std::vector cpus{registers_of(0)};
  QemuMemory memory(128 * kKiB);
  memory.put_state(0x4000, cpus[0], 0xffff'ffff'c000'0000);
  memory.put_state(0x10000, cpus[0], 0xffff'ffff'8200'0080);
  EXPECT_EQ(find_cpu_states(memory.bytes(), kAt, cpus, kStar).size(), 2u);
}

TEST(EntryRegistersTest, TwoGroupsBehindOneStateAreNone) {
  const std::vector cpus{registers_of(0)};
  QemuMemory memory(64 * kKiB);
  memory.put_state(0x4000, cpus[0], 0xffff'ffff'8200'0080);
  memory.put(0x4000 + 0x400 + 24, kStar);
  memory.put(0x4000 + 0x400 + 56, 0x25'7fd5);
  EXPECT_TRUE(find_cpu_states(memory.bytes(), kAt, cpus, kStar).empty());
}

TEST(EntryRegistersTest, AMappingThatEndsEarlyIsNoState) {
  const std::vector cpus{registers_of(0)};
  QemuMemory memory(64 * kKiB);
  memory.put_state(0x4000, cpus[0], 0xffff'ffff'8200'0080);
  for (const auto size : {std::uint64_t{0}, std::uint64_t{24}, std::uint64_t{0x4000},
                          std::uint64_t{0x4000 + 79}, 0x4000 + kDistance + 63})
    EXPECT_TRUE(find_cpu_states(memory.bytes().first(size), kAt, cpus, kStar).empty()) << size;
  EXPECT_EQ(find_cpu_states(memory.bytes().first(0x4000 + kDistance + 64), kAt, cpus, kStar).size(),
            1u);
}

}  // namespace
}  // namespace vitrine
