// What the notes of a dump say beside the memory: registers, VMCOREINFO.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "format/elf.h"
#include "x86/registers.h"

namespace vitrine {

struct DumpNotes {
  std::vector<x86::Registers> registers;  ///< by CPU; QEMU's note alone has them all
  std::optional<std::string> vmcoreinfo;
  std::vector<std::string> warnings;
  bool general_registers = false;  ///< kdump's own note: no CR3
  bool of_a_process = false;       ///< an auxiliary vector: no machine has one

  /// Why `registers` is empty.
  [[nodiscard]] std::string why_no_registers() const;
};

/// Takes what the notes of one segment say.
/// @param long_mode  the dump is one of an x86-64 machine: the note of a CPU has no EFER
void take_notes(DumpNotes& into, Bytes segment, bool long_mode);

}  // namespace vitrine
