// A process of the guest as an ELF core: what gdb and every other reader of cores takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/problem.h"
#include "linux/kernel.h"

namespace vitrine::linux {

struct ProcessCore {
  std::string name;  ///< of the process
  std::size_t threads = 0;
  std::size_t threads_without_registers = 0;  ///< none are told outside for a CPU's own moment
  std::uint64_t bytes = 0;                    ///< of memory that is in the file
  std::uint64_t absent =
      0;                   ///< bytes of its areas that are in no RAM: never touched, or swapped out
  std::uint64_t lost = 0;  ///< bytes that were there at first and not when they were read
  bool truncated = false;  ///< a bound was met: the file has not all
};

/// Writes the user memory of process `pid`, and the user registers that each of its threads has
/// saved on its kernel stack, to `descriptor` (a file, from its start). What is in no RAM has a
/// segment without contents, and is not told as zeros. The guest runs on: pause it for a core of
/// one moment.
/// @returns not_found    there is no such process
/// @returns unsupported  it has no user memory (a kernel thread), or this kernel's layout is not
/// known
/// @returns io           the file cannot be written
/// Source: elf(5); struct elf_prstatus of sys/procfs.h.
[[nodiscard]] Outcome<ProcessCore> write_process_core(const Kernel& kernel, std::int64_t pid,
                                                      int descriptor);

}  // namespace vitrine::linux
