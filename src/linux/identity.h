// Who a found kernel is: its banner, its build id, where its maps start.
#pragma once

#include "linux/find_kernel.h"
#include "linux/kernel.h"

namespace vitrine::linux {

/// Reads what an Identity holds. What cannot be read stays empty or at the kernel's
/// fixed default, and is named in `warnings`.
[[nodiscard]] Identity read_identity(const VirtualMemory& memory, const PhysicalMemory& ram,
                                     const KernelPlace& place, const SymbolTable& symbols,
                                     std::vector<std::string>& warnings);

/// A note in a run of ELF notes.
struct BuildIdNote {
  std::uint64_t offset = 0;  ///< of its header
  Bytes id;
};
/// The first GNU build id in a run of ELF notes.
/// Source: System V gABI, "Note Section"; the kernel's .notes.
[[nodiscard]] std::optional<BuildIdNote> find_build_id_note(Bytes notes);

/// That id as lower-case hexadecimal; empty if there is none.
[[nodiscard]] std::string find_build_id(Bytes notes);

}  // namespace vitrine::linux
