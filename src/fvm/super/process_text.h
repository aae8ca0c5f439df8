// ProcessText: is what a running process executes still the program that it was started from?
//
// A page that it shares with the program's file is the file's page: the same memory that we compare
// with. So what must be read are only pages of its own, which the kernel makes where somebody
// writes into private text, and nothing but the program may be executable. The kernel says both
// (/proc/PID/maps and pagemap); each look costs a walk of its page tables and reads no text.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

/// Where a process has its program's text, and which file that is.
struct TextPlace {
  std::uint64_t start = 0;   ///< in its address space; page-aligned
  std::uint64_t offset = 0;  ///< in the file
  Bytes measured;            ///< what must stand there; whole pages
  dev_t device = 0;          ///< of the file
  ino_t inode = 0;
};

/// Its files of /proc: descriptors that were opened by somebody who may.
struct ProcessFiles {
  FileDescriptor memory;  ///< mem
  /// Not there: all of the text is read and compared.
  FileDescriptor maps, pagemap;
};

enum class TextState : std::uint8_t {
  intact,   ///< or the process is gone, which others tell
  changed,  ///< bytes differ
  foreign,  ///< something else than the program can be executed, or it is not where it was
};

/// @param buffer  to be kept from look to look
/// Cost: for 16 MiB of text 0.1 ms; reading all of it, 4 ms.
[[nodiscard]] TextState look_at_text(const ProcessFiles& process, const TextPlace& place,
                                     std::vector<std::byte>& buffer);

}  // namespace vitrine::fvm
