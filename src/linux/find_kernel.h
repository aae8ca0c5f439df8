// Finding the kernel: from nothing to its place, its page tables and its symbols.
//
// A kernel's image lies in one piece in physical memory, and .rodata holds kallsyms.
// So the tables are looked for physically: near where a CPU's interrupt handlers lie
// if there are registers, in all populated RAM otherwise. RAM may hold several copies
// (what unpacking left behind); the real one is the one whose page tables, found by
// its own symbols, map its own text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/problem.h"
#include "linux/symbols.h"
#include "memory/physical_memory.h"
#include "x86/paging.h"
#include "x86/registers.h"

namespace vitrine::linux {

/// Where a kernel lies: what a later attach needs to find it again at once.
struct KernelPlace {
  Gva text;  ///< _text
  Gpa text_physical;
  x86::PageRoot root;  ///< init_top_pgt, the kernel's own
};

/// A stretch of the kernel's image.
struct ImageRange {
  std::uint64_t offset = 0;  ///< from _text
  std::uint64_t size = 0;
};

struct FoundKernel {
  KernelPlace place;
  SymbolTable symbols;
  /// The parts of kallsyms that are alike in every boot: names, tokens, addresses.
  std::array<ImageRange, 3> kallsyms;
  /// Of the bytes in `kallsyms`, in their order, as they were when `symbols` was made of them: what
  /// the guest has there later may be something else.
  std::uint64_t kallsyms_hash = 0;
  std::string how;  ///< "the interrupt handlers of cpu 0", "a scan of 1.2 GiB of RAM"
  /// What of its `symbols` its kallsyms does not list (unlisted_symbols.h).
  std::vector<std::string> unlisted;
};

/// An address inside the kernel's text, and where a CPU that runs it has it.
struct TextHint {
  Gva handler;
  Gpa physical;
};

/// As the CPUs' interrupt tables tell them; empty if no CPU runs a 64-bit kernel (yet).
[[nodiscard]] std::vector<TextHint> text_hints(const PhysicalMemory& ram,
                                               std::span<const x86::Registers> cpus);

/// Does one of the CPUs that `hints` are from run the kernel at `place`? Its tables map what the
/// CPU's do. A kernel that has ended (kexec, a reset) may lie in RAM as whole as the one that runs.
[[nodiscard]] bool runs_at(const PhysicalMemory& ram, const KernelPlace& place,
                           std::span<const TextHint> hints);

/// Where the page tables at `table` map the kernel's text, if they do.
/// Cost: the page tables of 1 GiB, at most 4,096 of them.
[[nodiscard]] std::optional<KernelPlace> find_text_mapping(const PhysicalMemory& ram, Gpa text,
                                                           Gpa table);

/// @param hints  from text_hints(); may be empty. If a CPU runs none of the kernels that lie in
/// RAM,
///   one of them is answered all the same: runs_at() tells.
/// @param image  what is advised where none is found: memory of a file, not of a machine
/// @returns not_found  no kallsyms that its own page tables confirm; the message says
///   what was seen instead.
/// Cost: a scan of up to 192 MiB around a hint, else of all populated RAM; then a
/// pass over the symbols: tens of milliseconds. A guest that lays out tables by the thousand costs
/// a minute at most: then the search ends, and the message says so.
[[nodiscard]] Outcome<FoundKernel> find_kernel(const PhysicalMemory& ram,
                                               std::span<const TextHint> hints, bool image = false);

}  // namespace vitrine::linux
