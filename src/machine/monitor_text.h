// What QEMU's human monitor prints, as values. Pure: text in, values out. The text
// may come from anyone who listens on a socket, so nothing in it is believed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "x86/registers.h"

namespace vitrine {

/// One line of a flat view of `info mtree -f`: what answers at `range`.
struct FlatRange {
  GpaRange range;
  int priority = 0;
  bool ram = false;          ///< "ram" (not romd, ramd, i/o); "nv-ram" (an NVDIMM) counts
  bool readonly = false;     ///< "rom": RAM that the guest may only read
  std::string region;        ///< "pc.ram", a memory backend's id, "vga.vram"
  std::uint64_t offset = 0;  ///< of `range` in that region

  bool operator==(const FlatRange&) const = default;
};

/// The flat view of the address space "memory": what every CPU outside SMM sees.
/// QEMU 7.2 to 10 print it alike; unknown lines and suffixes are passed over.
/// @returns protocol   there is no such view, or its ranges overlap or run backwards
/// @returns too_large  more than 65536 ranges
/// Source: mtree_print_flatview() in QEMU's system/memory.c.
[[nodiscard]] Outcome<std::vector<FlatRange>> parse_flat_view(std::string_view text);

/// The answer to `gpa2hva`: the region's name and the host-virtual address.
struct HostAddress {
  std::string region;
  Hva hva;
};
[[nodiscard]] std::optional<HostAddress> parse_gpa2hva(std::string_view text);

/// The answer to `info registers -a`, or `info registers` of one CPU.
/// @returns protocol  no CPU, or one without RIP, CR0 and CR3; more than 4096 CPUs
/// Source: x86_cpu_dump_state() in QEMU's target/i386/cpu-dump.c.
[[nodiscard]] Outcome<std::vector<x86::Registers>> parse_registers(std::string_view text);

}  // namespace vitrine
