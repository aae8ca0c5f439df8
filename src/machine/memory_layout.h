// How a PC's RAM, one block of bytes, is laid into its address space; and how to check
// a layout that nobody told us.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/e820.h"
#include "memory/memory_map.h"
#include "memory/physical_memory.h"

namespace vitrine {

/// A reading of RAM: `segments` place the block's bytes (offset) into the address space.
struct MemoryLayout {
  std::string words;  ///< "as a q35 machine: hole from 0x80000000 to 4 GiB"
  std::vector<MapSegment> segments;
};

/// QEMU's PC machines differ in where the hole below 4 GiB begins.
enum class PcFamily : std::uint8_t { i440fx, q35, microvm };

/// By the machine type's name: "pc", "pc-i440fx-7.2" and "isapc" are i440fx, "q35" and
/// "pc-q35-8.0" q35. An empty name is QEMU's default. Nothing for other machines.
[[nodiscard]] std::optional<PcFamily> pc_family(std::string_view machine_type);

/// How much of `ram_bytes` lies below 4 GiB. `max_below_4g` is the machine's
/// max-ram-below-4g, 0 if not set.
/// Source: QEMU hw/i386/pc_piix.c pc_init1(), pc_q35.c pc_q35_init(), microvm.c
/// microvm_memory_init().
[[nodiscard]] std::uint64_t ram_below_4g(PcFamily family, std::uint64_t ram_bytes,
                                         std::uint64_t max_below_4g = 0);

/// The block in the address space: up to the hole, the rest from 4 GiB on. With
/// `vga_window`, 0xa0000 to 0xbffff is a hole too (the RAM under it is for SMM).
[[nodiscard]] MemoryLayout pc_layout(PcFamily family, std::uint64_t ram_bytes,
                                     std::uint64_t max_below_4g = 0, bool vga_window = true);

/// A block of which the first `low` bytes lie below the hole.
[[nodiscard]] MemoryLayout split_layout(std::uint64_t low, std::uint64_t ram_bytes);

/// The readings of a raw image of `size` bytes without further evidence: the address
/// space itself, then a RAM block by each family's rule, without those that are the same.
[[nodiscard]] std::vector<MemoryLayout> raw_layouts(std::uint64_t size);

/// Whether a memory map is the one that an e820 table (the firmware's, or the kernel's own
/// e820_table_firmware) describes.
struct MapAgreement {
  bool agrees = false;
  std::string words;  ///< why not: "the table has RAM at 0x100000000 where the map has a hole"
};

/// All of the table's RAM must be in the map, and but for 64 MiB (firmware keeps some)
/// the map's RAM in the table. RAM of the map beyond the table's last RAM is hot-pluggable
/// memory, which no e820 lists, and is not held against it.
[[nodiscard]] MapAgreement compare_map(std::span<const GpaRange> map,
                                       std::span<const format::E820Entry> table);

/// The firmware's own table in the first MiB. The guest can forge it: it is evidence for a
/// map, not a source of one.
struct FirmwareTable {
  Gpa at;
  std::vector<format::E820Entry> entries;
};
[[nodiscard]] std::optional<FirmwareTable> find_firmware_table(const PhysicalMemory& memory);

/// True if a BIOS of a PC lies in the shadow RAM: the reset vector's jump at 0xffff0, and
/// a date behind it.
[[nodiscard]] bool has_bios_shadow(const PhysicalMemory& memory);

}  // namespace vitrine
