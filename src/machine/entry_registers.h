// The registers that say where system calls enter the kernel, out of QEMU's own memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/problem.h"
#include "machine/machine.h"
#include "memory/file_descriptor.h"
#include "x86/registers.h"

namespace vitrine {

/// Where system calls enter the kernel: model-specific registers, which QEMU's monitor does not
/// show.
struct EntryRegisters {
  std::uint32_t sysenter_cs = 0;
  std::uint64_t sysenter_esp = 0;
  Gva sysenter_eip;  ///< `sysenter`; 0: refused
  std::uint64_t star = 0;
  Gva lstar;  ///< `syscall` of 64-bit programs
  Gva cstar;  ///< `syscall` of 32-bit programs
  std::uint64_t fmask = 0;
};

/// A place in QEMU's memory that is one virtual CPU's state (CPUX86State): what the monitor tells
/// of that CPU stands there as QEMU's structure has it.
struct CpuStatePlace {
  std::size_t cpu = 0;  ///< index in the registers given
  Hva gdtr;             ///< where its GDTR's base lies
  Hva entry;            ///< where IA32_SYSENTER_CS lies, and the other entry registers behind it
};

/// Searches `bytes`, which lie at `at` in QEMU's process, for the states of `cpus`. `star` is what
/// the guest's kernel has in IA32_STAR, which stands in the middle of the group that is wanted.
/// A place is told if the bases of TR, GDTR and IDTR, both limits, CR0 and CR4 are all that CPU's.
/// A guest that forges one in a buffer of QEMU's makes two: who asks wants one for each CPU.
/// Cost: about 1 ms for 4 MiB.
/// Source: struct CPUArchState in QEMU's target/i386/cpu.h.
[[nodiscard]] std::vector<CpuStatePlace> find_cpu_states(Bytes bytes, Hva at,
                                                         std::span<const x86::Registers> cpus,
                                                         std::uint64_t star);

/// Reads them of one machine, again and again; where they stand is searched for once.
class EntryRegisterReader {
 public:
  /// @returns unsupported  the machine does not tell them: an image, an FVM's, no QMP socket
  [[nodiscard]] static Outcome<EntryRegisterReader> open(const Machine& machine);

  /// The registers of each CPU; all 0 of one that was never started.
  ///
  /// They are read where the monitor's other registers are found, outside of guest RAM, where the
  /// guest writes what it likes. Under KVM it is the monitor's question that makes QEMU fetch them.
  /// @param star  what the guest's kernel has in IA32_STAR
  /// @returns unsupported  a CPU's state is not found, or found twice
  /// @returns denied, vanished, timeout, protocol, io  QEMU or its monitor cannot be read
  /// Cost: a monitor round trip; the first time a look at all the memory that QEMU has beside the
  /// guest's, 20 to 100 MiB. The guest is neither stopped nor written.
  [[nodiscard]] Outcome<std::vector<EntryRegisters>> read(std::uint64_t star);

 private:
  EntryRegisterReader(const Machine& machine, pid_t pid) : machine_(&machine), pid_(pid) {}
  [[nodiscard]] Outcome<void> find(std::span<const x86::Registers> cpus, std::uint64_t star);
  [[nodiscard]] bool holds(std::span<const x86::Registers> cpus) const;

  const Machine* machine_;
  pid_t pid_;
  FileDescriptor memory_;
  std::vector<CpuStatePlace> places_;  ///< by CPU
};

}  // namespace vitrine
