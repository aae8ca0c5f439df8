// The executable part of a program file: what must lie, byte for byte, where it runs.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace vitrine::fvm {

struct ProgramText {
  std::uint64_t address = 0;  ///< as linked; a position-independent program has a base more
  Bytes bytes;                ///< in the file
};

/// Of an ELF file of ours, measured before: its executable segment. Nothing: it is none.
[[nodiscard]] std::optional<ProgramText> program_text(Bytes file);

/// A file of a newc cpio archive of ours (an initramfs, not compressed), measured before.
[[nodiscard]] std::optional<Bytes> file_in_archive(Bytes archive, std::string_view name);

}  // namespace vitrine::fvm
