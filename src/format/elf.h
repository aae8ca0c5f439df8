// ELF as memory images use it: the program headers and notes of a core file.
//
// Writers: QEMU's dump-guest-memory (with and without paging), the kernel's
// /proc/vmcore and what kdump copies of it, VirtualBox. All of an image may be forged.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

inline constexpr std::uint16_t kElfCore = 4;        ///< e_type
inline constexpr std::uint16_t kElfMachine386 = 3;  ///< e_machine
inline constexpr std::uint16_t kElfMachineX86_64 = 62;

/// A program header of type LOAD.
struct ElfLoad {
  std::uint64_t file_offset = 0;
  std::uint64_t file_size = 0;    ///< bytes that the file holds
  std::uint64_t memory_size = 0;  ///< bytes that the guest has; the rest was left out
  Gpa physical;
  Gva virtual_address;  ///< 0 or equal to `physical` in dumps without paging

  bool operator==(const ElfLoad&) const = default;
};

struct ElfFile {
  bool wide = true;  ///< ELFCLASS64
  std::uint16_t type = 0;
  std::uint16_t machine = 0;
  std::vector<ElfLoad> loads;                                  ///< in the file's order
  std::vector<std::pair<std::uint64_t, std::uint64_t>> notes;  ///< offset and size of each NOTE
};

/// The header and the program headers; 32-bit files too (QEMU writes one while its
/// guest is not in long mode). e_ehsize and sections are not looked at, except for the
/// count that does not fit e_phnum. @param file  the whole file.
/// @returns malformed      not a little-endian ELF, or header entries of another size
/// @returns out_of_bounds  the program headers leave the file
/// @returns too_large      more than 2^20 program headers
/// Source: gabi "Program Header"; QEMU dump/dump.c.
[[nodiscard]] Result<ElfFile> parse_elf(Bytes file);

/// A stretch of guest memory and where the file holds it.
struct ElfRange {
  GpaRange range;
  std::uint64_t file_offset = 0;

  bool operator==(const ElfRange&) const = default;
};

/// What the LOADs cover, without overlaps, by address: with paging many LOADs share
/// physical pages; the first in the file speaks for a page. Joined where they continue.
struct ElfRanges {
  std::vector<ElfRange> ranges;
  std::uint64_t missing_bytes = 0;   ///< said to be in the file, but beyond its end
  std::uint64_t left_out_bytes = 0;  ///< memory_size that the file does not hold
  bool contradictory = false;        ///< two LOADs place one page differently
};
[[nodiscard]] ElfRanges elf_ranges(const ElfFile& elf, std::uint64_t file_size);

/// Adds what a QEMU dump with paging holds but does not name: its LOADs cover what the page
/// tables map, each cut where its RAM block ends, while the data of every block stands
/// whole in the file, one block after the other. So bytes of the file between two LOADs of
/// one block are the pages between them, and bytes after the last LOAD of a block are the
/// pages behind it, if the next block begins at a whole MiB: as far as a LOAD's memory size
/// reaches, or to the next 16 MiB boundary (device memory may follow in the file, unnamed).
/// Only for files with a QEMU note.
/// @returns how many bytes were added.
/// Source: QEMU dump/dump.c, get_offset_range() and dump_iterate().
std::uint64_t add_unnamed_ranges(ElfRanges& ranges, const ElfFile& elf, std::uint64_t file_size);

struct ElfNote {
  std::string_view name;  ///< without its NUL
  std::uint32_t type = 0;
  Bytes descriptor;
};

/// The notes of one NOTE segment, as views into it. A broken one ends the list.
[[nodiscard]] std::vector<ElfNote> parse_elf_notes(Bytes segment);

/// QEMU's own note of one CPU (name "QEMU", type 0): QEMUCPUState.
/// Source: QEMU target/i386/arch_dump.c.
struct QemuCpuState {
  struct Segment {
    std::uint32_t selector = 0, limit = 0, flags = 0;
    std::uint64_t base = 0;
  };
  std::uint64_t rax = 0, rbx = 0, rcx = 0, rdx = 0, rsi = 0, rdi = 0, rsp = 0, rbp = 0;
  std::array<std::uint64_t, 8> r8_to_r15{};
  std::uint64_t rip = 0, rflags = 0;
  Segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
  std::array<std::uint64_t, 5> cr{};
  std::optional<std::uint64_t> kernel_gs_base;  ///< since QEMU 3.0
};
/// @returns malformed    too short, or its own size field disagrees
/// @returns unsupported  another version than 1
[[nodiscard]] Result<QemuCpuState> parse_qemu_cpu_state(Bytes descriptor);

}  // namespace vitrine::format
