// QEMU's own words as values. The samples are what QEMU 10.0.2 printed, shortened.
#include "machine/monitor_text.h"

#include <gtest/gtest.h>

#include "machine/monitor_memory.h"
#include "machine/qemu_ram.h"

namespace vitrine {
namespace {

constexpr std::string_view kTree = R"(FlatView #0
 AS "cpu-smm-0", root: memory
 Root memory region: memory
  0000000000000000-00000000000bffff (prio 0, ram): pc.ram

FlatView #1
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan

FlatView #2
 AS "mch", root: bus master container
 Root memory region: (none)
  No rendered FlatView

FlatView #3
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000cafff (prio 0, rom): pc.ram @00000000000c0000 KVM
  00000000000cb000-00000000000cdfff (prio 0, ram): pc.ram @00000000000cb000
  00000000000f0000-00000000000fffff (prio 0, rom): pc.ram @00000000000f0000
  0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000
  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram
  00000000febd4180-00000000febd43ff (prio 1, i/o): vga.mmio @0000000000000180
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
  0000000100000000-00000001bfffffff (prio 0, ram): pc.ram @0000000080000000
  0000000240000000-000000024fffffff (prio 0, nv-ram): my dimm @ 3 @0000000000001000

)";

TEST(FlatView, IsTheOneOfTheAddressSpaceMemory) {
  const auto view = parse_flat_view(kTree);
  ASSERT_TRUE(view) << view.error().message;
  ASSERT_EQ(view->size(), 11U);
  EXPECT_EQ((*view)[0], (FlatRange{{Gpa{0}, 0xa0000}, 0, true, false, "pc.ram", 0}));
  EXPECT_EQ((*view)[1].ram, false);
  EXPECT_EQ((*view)[2], (FlatRange{{Gpa{0xc0000}, 0xb000}, 0, true, true, "pc.ram", 0xc0000}));
  EXPECT_EQ((*view)[6].priority, 1);
  EXPECT_EQ((*view)[9],
            (FlatRange{{Gpa{4 * kGiB}, 3 * kGiB}, 0, true, false, "pc.ram", 0x80000000}));
  EXPECT_EQ((*view)[10],
            (FlatRange{{Gpa{0x240000000}, 0x10000000}, 0, true, false, "my dimm @ 3", 0x1000}));
}

TEST(FlatView, MonitorsWriteCarriageReturns) {
  std::string text;
  for (const char c : kTree) text += c == '\n' ? std::string("\r\n") : std::string(1, c);
  EXPECT_EQ(parse_flat_view(text).value(), parse_flat_view(kTree).value());
}

TEST(FlatView, RamIsWhatTheGuestMayWriteAndAllBelow1MiB) {
  const auto ram = choose_ram(*parse_flat_view(kTree));
  std::vector<std::uint64_t> starts;
  for (const auto& one : ram) starts.push_back(one.range.start.value);
  EXPECT_EQ(starts, (std::vector<std::uint64_t>{0, 0xc0000, 0xcb000, 0xf0000, 0x100000, 0x100000000,
                                                0x240000000}));
}

TEST(FlatView, NonsenseIsRefused) {
  EXPECT_EQ(parse_flat_view("").error().code, Errc::protocol);
  EXPECT_EQ(parse_flat_view("FlatView #0\n AS \"I/O\"\n 0-7 (prio 0, i/o): x\n").error().code,
            Errc::protocol);
  constexpr std::string_view kOverlap =
      "AS \"memory\"\n 0-fff (prio 0, ram): a\n 800-1fff (prio 0, ram): b\n";
  EXPECT_EQ(parse_flat_view(kOverlap).error().code, Errc::protocol);
  constexpr std::string_view kWhole = "AS \"memory\"\n 0-ffffffffffffffff (prio 0, ram): a\n";
  EXPECT_EQ(parse_flat_view(kWhole).error().code, Errc::protocol);  // its size fits no number
}

TEST(Gpa2hva, NamesTheRegionAndThePlace) {
  const auto answer =
      parse_gpa2hva("Host virtual address for 0xc0000 (pc.ram) is 0x7fb687ec0000\r\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->region, "pc.ram");
  EXPECT_EQ(answer->hva.value, 0x7fb687ec0000U);
  EXPECT_EQ(parse_gpa2hva("Host virtual address for 0x0 (a) is (b) is 0x10\n")->region, "a) is (b");
  EXPECT_FALSE(parse_gpa2hva("Memory at address 0xb0000000 is not RAM\n"));
  EXPECT_FALSE(parse_gpa2hva("Host virtual address for 0x0 (a) is 0x10 and more\n"));
  EXPECT_FALSE(parse_gpa2hva(""));
}

constexpr std::string_view kRegisters = R"(
CPU#0
RAX=ffffffff81c0dfe0 RBX=0000000000000001 RCX=4000000000000000 RDX=0000000000001af4
RSI=0000000000000083 RDI=0000000000000084 RBP=ffffffff82a0f8c0 RSP=ffffffff82a03e58
R8 =ffff888007c2d4c0 R9 =0000000000000201 R10=0000000000000000 R11=0000000000000001
R12=0000000000000000 R13=0000000000000000 R14=ffffffff82a0efc8 R15=0000000000000000
RIP=ffffffff81c0dfef RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0000 0000000000000000 ffffffff 00c00000
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
DS =0000 0000000000000000 ffffffff 00c00000
FS =0000 0000000000000000 ffffffff 00c00000
GS =0000 ffff888007c00000 ffffffff 00c00000
LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT
TR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy
GDT=     fffffe0000001000 0000007f
IDT=     fffffe0000000000 00000fff
CR0=80050033 CR2=00007ffff7ff5000 CR3=0000000001234000 CR4=000006f0
DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000
DR6=00000000ffff0ff0 DR7=0000000000000400
CCS=0000000000000044 CCD=0000000000000000 CCO=LOGICQ
EFER=0000000000000d01
FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80
FPR0=0000000000000000 0000 FPR1=0000000000000000 0000

CPU#1
EAX=000f424a EBX=00000000 ECX=000002ff EDX=00000001
ESI=00000000 EDI=00000000 EBP=00000000 ESP=00006c5c
EIP=000fd0cf EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]
GDT=     000f6180 00000037
IDT=     000f61be 00000000
CR0=00000011 CR2=00000000 CR3=00000000 CR4=00000000
EFER=0000000000000000
)";

TEST(Registers, OfALongModeAndAProtectedModeCpu) {
  const auto all = parse_registers(kRegisters);
  ASSERT_TRUE(all) << all.error().message;
  ASSERT_EQ(all->size(), 2U);
  const auto& r = (*all)[0];
  EXPECT_EQ(r.gpr[x86::kRax], 0xffffffff81c0dfe0U);
  EXPECT_EQ(r.gpr[x86::kRsp], 0xffffffff82a03e58U);
  EXPECT_EQ(r.gpr[x86::kR8], 0xffff888007c2d4c0U);
  EXPECT_EQ(r.gpr[x86::kR15], 0U);
  EXPECT_EQ(r.gpr[x86::kR14], 0xffffffff82a0efc8U);
  EXPECT_EQ(r.rip, 0xffffffff81c0dfefU);
  EXPECT_EQ(r.rflags, 0x246U);
  EXPECT_TRUE(r.halted);
  EXPECT_EQ(r.cs.selector, 0x10);
  EXPECT_EQ(r.cs.limit, 0xffffffffU);
  EXPECT_EQ(r.cs.attributes, 0xa09b);
  EXPECT_EQ(r.gs.base, 0xffff888007c00000U);
  EXPECT_EQ(r.tr.base, 0xfffffe0000003000U);
  EXPECT_EQ(r.gdtr.base.value, 0xfffffe0000001000U);
  EXPECT_EQ(r.idtr.limit, 0xfffU);
  EXPECT_EQ(r.cr0, 0x80050033U);
  EXPECT_EQ(r.cr2, 0x00007ffff7ff5000U);
  EXPECT_EQ(r.cr3, 0x1234000U);
  EXPECT_EQ(r.cr4, 0x6f0U);
  EXPECT_TRUE(r.long_mode() && r.paging() && !r.five_levels());
  EXPECT_EQ((*all)[1].gpr[x86::kRax], 0xf424aU);
  EXPECT_EQ((*all)[1].rip, 0xfd0cfU);
  EXPECT_FALSE((*all)[1].paging() || (*all)[1].halted);
}

TEST(Registers, OfNoCpuOrHalfACpuAreRefused) {
  EXPECT_EQ(parse_registers("").error().code, Errc::protocol);
  EXPECT_EQ(parse_registers("unknown command: 'info registers'\n").error().code, Errc::protocol);
  EXPECT_EQ(parse_registers("CPU#0\nRAX=1\n").error().code, Errc::protocol);
  EXPECT_EQ(parse_registers("CPU#0\nPC=1 SP=2\nCPU#1\n").error().code, Errc::protocol);
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "CPU#0\nRIP=0 \nCR0=0 CR3=0\n";
  EXPECT_EQ(parse_registers(many).error().code, Errc::protocol);
}

TEST(Xp, FillsExactlyWhatWasAsked) {
  std::array<std::byte, 10> bytes{};
  constexpr std::string_view kText =
      "00000000000fffc0: 0xfa 0xed 0x66 0x48 0x83 0xf8 0xfd 0x76\r\n"
      "00000000000fffc8: 0x1c 0xf6\r\n";
  ASSERT_TRUE(parse_xp(kText, Gpa{0xfffc0}, bytes));
  EXPECT_EQ(bytes[9], std::byte{0xf6});
  EXPECT_FALSE(parse_xp(kText, Gpa{0xfffc1}, bytes));
  EXPECT_FALSE(parse_xp(kText, Gpa{0xfffc0}, MutableBytes(bytes).first(9)));
  EXPECT_FALSE(parse_xp("000a0000: Cannot access memory\n", Gpa{0xa0000}, bytes));
  EXPECT_FALSE(parse_xp("", Gpa{0}, bytes));
}

}  // namespace
}  // namespace vitrine
