// The registers of one virtual CPU, as the hypervisor tells them.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"

namespace vitrine::x86 {

/// A segment register with its hidden part. `attributes` are bits 8..23 of the
/// descriptor's second word, shifted down by 8 (type, S, DPL, P, AVL, L, D/B, G).
struct Segment {
  std::uint16_t selector = 0;
  std::uint64_t base = 0;
  std::uint32_t limit = 0;
  std::uint16_t attributes = 0;
};

struct DescriptorTable {
  Gva base;
  std::uint32_t limit = 0;
};

enum Gpr : std::uint8_t {
  kRax,
  kRbx,
  kRcx,
  kRdx,
  kRsi,
  kRdi,
  kRbp,
  kRsp,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
  kGprCount
};

struct Registers {
  std::array<std::uint64_t, kGprCount> gpr{};
  std::uint64_t rip = 0;
  std::uint64_t rflags = 0;
  Segment cs, ss, ds, es, fs, gs, ldt, tr;
  DescriptorTable gdtr, idtr;
  std::uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, efer = 0;
  bool halted = false;

  [[nodiscard]] bool paging() const { return (cr0 >> 31 & 1) != 0; }
  [[nodiscard]] bool long_mode() const { return (efer >> 10 & 1) != 0; }
  /// CR4.LA57: page tables have five levels.
  [[nodiscard]] bool five_levels() const { return (cr4 >> 12 & 1) != 0; }
  [[nodiscard]] unsigned privilege() const { return ss.selector & 3U; }
};

}  // namespace vitrine::x86
