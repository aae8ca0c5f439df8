// Look: what polling sees of a guest at one moment, and what differs between two of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "linux/view.h"

namespace vitrine::probe {

/// One process, as of a look.
struct LookedProcess {
  std::int64_t pid = 0;
  std::int64_t parent = 0;
  std::uint64_t address = 0;    ///< task_struct of its main thread
  std::int64_t start_time = 0;  ///< ns since boot: tells a pid used again apart
  std::optional<std::uint64_t>
      exec_id;         ///< task_struct.self_exec_id: goes up by one with each exec
  bool ended = false;  ///< a zombie: its last thread is gone, nobody has waited for it
  std::optional<std::int64_t> exit_code;
  /// Columns of the view `processes`, by its order; those that nobody asked for are missing.
  std::vector<linux::Value> values;

  [[nodiscard]] bool same(const LookedProcess& other) const {
    return pid == other.pid && address == other.address && start_time == other.start_time;
  }
};

struct LookedModule {
  std::string name;
  std::uint64_t address = 0;  ///< struct module
  std::uint64_t core = 0;
  std::uint64_t size = 0;
  [[nodiscard]] bool same(const LookedModule& other) const {
    return address == other.address && name == other.name;
  }
};

struct Look {
  std::uint64_t monotonic_ns = 0;
  std::vector<LookedProcess> processes;  ///< by pid
  std::vector<LookedModule> modules;     ///< in any order
  bool whole = true;  ///< no bound was met and nothing was dropped: what is not there is gone
  std::optional<std::uint64_t> forks;  ///< the kernel's own count of forks, threads included
};

/// What happened between two looks. Pointers are into them.
struct Change {
  enum Kind : std::uint8_t {
    process_exit,
    process_start,
    process_exec,
    module_unload,
    module_load
  } kind;
  const LookedProcess* process = nullptr;
  const LookedModule* module = nullptr;
};

/// In the order: exits, starts by their time, execs, unloads, loads. Of a look that is not whole
/// nothing is taken to be gone. A process that is new has run exec too if its exec id is another
/// than its parent's. Cost: linear but for the modules.
[[nodiscard]] std::vector<Change> changes(const Look& before, const Look& after);

}  // namespace vitrine::probe
