// Where a live QEMU's RAM lies, and the best way to read it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/problem.h"
#include "machine/monitor_text.h"
#include "machine/process_maps.h"
#include "machine/qmp.h"
#include "memory/file_descriptor.h"
#include "memory/memory_map.h"
#include "memory/physical_memory.h"

namespace vitrine {

/// A range of guest RAM and the address at which QEMU has it mapped.
struct HostRange {
  GpaRange range;
  Hva hva;
  std::string region;  ///< QEMU's name for the RAM block: "pc.ram", a backend's id

  bool operator==(const HostRange&) const = default;
};

/// Of a flat view, what counts as the machine's RAM: below 1 MiB every readable byte
/// (shadow RAM, option ROMs: the firmware's tables lie there); above it RAM that the
/// guest may write, without device memory (video RAM, an ivshmem or other PCI bar: a
/// bar has priority 1) and without firmware at the top of the first 4 GiB. An ivshmem
/// bar may hold another guest's whole RAM: it must not be searched for this one's kernel.
[[nodiscard]] std::vector<FlatRange> choose_ram(const std::vector<FlatRange>& view);

/// The memory map as the monitor tells it.
/// @returns torn      the map changed while we asked, three times in a row
/// @returns protocol  answers that contradict each other
/// @returns timeout, vanished  as Qmp
/// Cost: two monitor trips, about 2 ms.
[[nodiscard]] Outcome<std::vector<HostRange>> ask_memory_map(Qmp& qmp);

/// Where guest RAM lies in files that others can open, and where it does not.
struct RamFiles {
  std::vector<FileDescriptor> files;  ///< open for reading
  std::vector<std::string> names;     ///< as /proc/PID/maps has them
  std::vector<MapSegment> shared;     ///< backing: which of `files`; offset: into it
  std::vector<MapSegment> own;        ///< in the process alone; offset: its address there. Backing
                                      ///< 1: a private mapping of a file, else 0
};

/// Opens the files behind `ranges` of process `pid`, for reading. Errors as reach_ram().
[[nodiscard]] Outcome<RamFiles> open_ram_files(pid_t pid, const std::vector<HostRange>& ranges);

/// RAM that was reached, and how.
struct ReachedRam {
  std::unique_ptr<PhysicalMemory> memory;
  std::vector<std::string> notes;
};

/// Opens `ranges` of process `pid`: what lies in a file that can be opened is mapped,
/// the rest is read from the process.
/// @returns denied    another user's process, Yama's ptrace_scope; the hint says what to do
/// @returns vanished  the process is gone
/// @returns malformed a range is not mapped there, or ranges overlap
[[nodiscard]] Outcome<ReachedRam> reach_ram(pid_t pid, const std::vector<HostRange>& ranges);

/// What to do where the kernel keeps a process closed to us.
/// @param other_user  whose it is, if not ours
/// @param scope       kernel.yama.ptrace_scope; empty where there is no Yama
[[nodiscard]] std::string hint_when_denied(std::optional<std::uint32_t> other_user,
                                           std::string_view scope);

/// An error of reaching `pid`'s RAM in words, with what to do about it: which user it
/// belongs to, what Yama says.
[[nodiscard]] Problem ram_problem(pid_t pid, const Error& error);

}  // namespace vitrine
