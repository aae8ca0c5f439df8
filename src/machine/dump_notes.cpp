#include "machine/dump_notes.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/problem.h"

namespace vitrine {
namespace {

x86::Segment segment_of(const format::QemuCpuState::Segment& from) {
  return {.selector = static_cast<std::uint16_t>(from.selector),
          .base = from.base,
          .limit = from.limit,
          .attributes = static_cast<std::uint16_t>(from.flags >> 8 & 0xf0ff)};
}

x86::Registers registers_of(const format::QemuCpuState& from, bool long_mode) {
  x86::Registers r;
  r.gpr[x86::kRax] = from.rax;
  r.gpr[x86::kRbx] = from.rbx;
  r.gpr[x86::kRcx] = from.rcx;
  r.gpr[x86::kRdx] = from.rdx;
  r.gpr[x86::kRsi] = from.rsi;
  r.gpr[x86::kRdi] = from.rdi;
  r.gpr[x86::kRbp] = from.rbp;
  r.gpr[x86::kRsp] = from.rsp;
  std::ranges::copy(from.r8_to_r15, r.gpr.begin() + x86::kR8);
  r.rip = from.rip;
  r.rflags = from.rflags;
  r.cs = segment_of(from.cs);
  r.ds = segment_of(from.ds);
  r.es = segment_of(from.es);
  r.fs = segment_of(from.fs);
  r.gs = segment_of(from.gs);
  r.ss = segment_of(from.ss);
  r.ldt = segment_of(from.ldt);
  r.tr = segment_of(from.tr);
  r.gdtr = {Gva{from.gdt.base}, from.gdt.limit};
  r.idtr = {Gva{from.idt.base}, from.idt.limit};
  r.cr0 = from.cr[0];
  r.cr2 = from.cr[2];
  r.cr3 = from.cr[3];
  r.cr4 = from.cr[4];
  // The note has no EFER. QEMU marks the dump as x86-64 if the first CPU is in long mode;
  // a CPU with paging and PAE in such a machine is taken to be in it too.
  const bool pae = (r.cr4 >> 5 & 1) != 0;
  if (long_mode && r.paging() && pae) r.efer = 0xd01;  // SCE LME LMA NXE
  return r;
}

// Types of the notes called CORE.
constexpr std::uint32_t kNotePrstatus = 1;
constexpr std::uint32_t kNoteAuxv = 6;

}  // namespace

std::string DumpNotes::why_no_registers() const {
  return general_registers
             ? "this dump holds general registers only, no CR3: kdump does not save it"
             : "this dump holds no registers";
}

void take_notes(DumpNotes& into, Bytes segment, bool long_mode) {
  for (const auto& note : format::parse_elf_notes(segment)) {
    if (note.name == "QEMU") {
      if (const auto state = format::parse_qemu_cpu_state(note.descriptor)) {
        into.registers.push_back(registers_of(*state, long_mode));
      } else {
        into.warnings.push_back(
            fmt::format("a CPU's registers cannot be read: {}", describe(state.error())));
      }
    } else if (note.name == "VMCOREINFO") {
      into.vmcoreinfo.emplace(reinterpret_cast<const char*>(note.descriptor.data()),
                              note.descriptor.size());
    } else if (note.name == "CORE" && note.type == kNotePrstatus) {
      into.general_registers = true;
    } else if (note.name == "CORE" && note.type == kNoteAuxv) {
      into.of_a_process = true;
    }
  }
}

}  // namespace vitrine
