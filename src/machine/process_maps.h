// A process's address space, as /proc/PID/maps tells it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"

namespace vitrine {

struct ProcessMapping {
  Hva start, end;
  bool readable = false, writable = false, executable = false;
  bool shared = false;       ///< MAP_SHARED
  std::uint64_t offset = 0;  ///< into the file
  std::uint32_t device_major = 0, device_minor = 0;
  std::uint64_t inode = 0;  ///< 0: anonymous
  std::string path;         ///< "/memfd:pc.ram (deleted)", "[heap]", ""

  [[nodiscard]] std::uint64_t size() const { return end - start; }
  [[nodiscard]] bool contains(Hva at) const { return at >= start && at < end; }
};

/// Lines that do not parse are passed over. Sorted by address, as the kernel prints.
/// Source: proc_pid_maps(5).
[[nodiscard]] std::vector<ProcessMapping> parse_process_maps(std::string_view text);

/// @returns vanished  there is no such process
/// @returns denied    it is another user's
[[nodiscard]] Outcome<std::vector<ProcessMapping>> read_process_maps(pid_t pid);

/// The mapping that holds `at`, or null.
[[nodiscard]] const ProcessMapping* mapping_at(const std::vector<ProcessMapping>& maps, Hva at);

/// A whole small file of /proc; nothing if it cannot be read. `limit` in bytes.
[[nodiscard]] Outcome<std::string> read_proc_file(const std::string& path,
                                                  std::size_t limit = 64 << 20);

}  // namespace vitrine
