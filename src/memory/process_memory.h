// ProcessMemory: guest RAM that only its own process has mapped, read from there.
#pragma once

#include <sys/types.h>

#include <memory>

#include "memory/file_descriptor.h"
#include "memory/memory_map.h"
#include "memory/physical_memory.h"

namespace vitrine {

/// Reads up to a page through /proc/PID/mem, more with process_vm_readv(2). Needs the
/// permission to trace the process: the same user and Yama's ptrace_scope 0, or
/// CAP_SYS_PTRACE.
///
/// A reused pid is never taken for the machine: /proc/PID/mem belongs to the memory it
/// was opened on, and after other reads a pidfd is asked whether the process still lives.
/// Cost: 8 random bytes 2 to 4 us, about 1 us each in batches; sequentially 2 GB/s.
class ProcessMemory final : public PhysicalMemory {
 public:
  /// `map`'s offsets are addresses in the process. Backing number 1 marks segments
  /// whose untouched pages are not zeros (a private mapping of a file); others are
  /// skipped by next_populated() where the process never touched them.
  /// @returns vanished  there is no such process
  /// @returns denied    it may not be read by us
  /// @returns io        the map's first byte is not mapped there
  [[nodiscard]] static Result<std::unique_ptr<ProcessMemory>> create(pid_t pid, MemoryMap map);

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return map_.ranges(); }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  std::size_t read_batch(std::span<BatchRead> batch) const override;
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override;

  /// False once the process has ended.
  [[nodiscard]] bool alive() const noexcept;

 private:
  ProcessMemory(pid_t pid, FileDescriptor pidfd, FileDescriptor memory, FileDescriptor pagemap,
                MemoryMap map)
      : pid_(pid),
        pidfd_(std::move(pidfd)),
        memory_(std::move(memory)),
        pagemap_(std::move(pagemap)),
        map_(std::move(map)) {}

  [[nodiscard]] Result<void> read_small(Gpa from, MutableBytes into) const;
  [[nodiscard]] Result<void> read_large(Gpa from, MutableBytes into) const;

  pid_t pid_;
  FileDescriptor pidfd_;
  FileDescriptor memory_;
  FileDescriptor pagemap_;  ///< may be missing: then every page counts as touched
  MemoryMap map_;
};

}  // namespace vitrine
