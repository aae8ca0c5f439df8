// What the block of a probe takes to run: read off its code, so that each source can judge
// whether it serves the probe with all that stands in it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmipl/program.h"

namespace vitrine::probe {

struct BlockNeeds {
  bool reads_memory = false;  ///< at virtual addresses
  bool reads_physical = false;
  bool symbols = false;  ///< symbol(a)
  bool per_cpu = false;
  bool listed = false;     ///< the list of processes
  bool views = false;      ///< for (row in view)
  bool stacks = false;     ///< kstack, ustack
  bool moment = false;     ///< process.*, thread.*, cpu
  bool arguments = false;  ///< arg0..5
  bool result = false;     ///< ret
  bool maps = false;
  bool register_values = false;       ///< reg.*, ReadRegister, ReadMemoryAt
  bool writes_registers = false;      ///< WriteRegister
  bool writes_memory = false;         ///< WriteMemory
  bool control = false;               ///< Pause, Resume, Isolate, Reconnect, Throttle, Kill, Stop
  bool host_data = false;             ///< ProcessList, ReadVMCS, Snapshot, DumpProcess, Screenshot
  std::vector<std::uint8_t> moments;  ///< indices into the catalogue's moments(), ascending
  std::vector<std::uint8_t> fields;   ///< indices into the probe's own fields, ascending

  /// Runs from what a virtual CPU has at hand (registers, memory, maps): no view, no list of
  /// processes, no action. Stacks and symbols are left to the source's judgement.
  [[nodiscard]] bool local() const {
    return !views && !listed && !control && !host_data && !writes_memory && !writes_registers;
  }
};

/// Of a verified program. `probe` is an index into program.probes. Cost: linear in its block.
[[nodiscard]] BlockNeeds block_needs(const vmipl::Program& program, std::uint32_t probe);

/// How a probe of the program is written: "ExecuteAt(do_exit+0x4)".
[[nodiscard]] std::string written(const vmipl::ProgramProbe& probe);

}  // namespace vitrine::probe
