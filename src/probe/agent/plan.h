// AgentPlan: what the host asks an agent to do, as data.
//
// The host knows the kernel (names, types, where functions end); the agent knows addresses
// alone. So the host resolves every probe into sites (instructions at which it fires), ranges
// (memory whose accesses it sees) and small numbers, and the agent's engine needs no more.
// The same plan would serve an engine under KVM.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "probe/map_store.h"

namespace vitrine::probe {

enum class AgentEvent : std::uint8_t {
  execute,          ///< sites
  function_return,  ///< sites: the instructions that leave; detail: the function's address
  access,           ///< ranges; param: 1 reads, 2 writes, 3 both
  syscall,          ///< sites: the kernel's entries; detail: SyscallEntry
  syscall_return,   ///< sites: where the result is known; detail: ReturnSite; offsets: the thread's
                    ///< status
  control_write,    ///< param: which control register
  msr_write,        ///< param: which, or kAny
  idtr_write,
  gdtr_write,
  table_write,    ///< ranges of IDT or GDT; param: bytes of an entry
  process_start,  ///< sites; the new task in rdi
  process_exec,   ///< sites
  process_exit,   ///< sites; offsets: see ExitOffsets
  module_load,
  module_unload,  ///< sites; the module in rdi; offsets: see ModuleOffsets
  vector,         ///< sites: gates' handlers; detail: the vector
  port_read,
  port_write,  ///< param: which port
  sample,      ///< param: hertz
  resume,
  module_watch,  ///< sites; detail: ModuleStage. Of the host: it places probes anew
  count_,
};

/// In the life of a module; its struct in rdi where it comes and goes.
enum class ModuleStage : std::uint64_t {
  comes,        ///< none of its code has run but what its parameters call
  initialized,  ///< or it failed to
  goes,
};

enum class SyscallEntry : std::uint64_t { native, int80, sysenter, syscall32 };
/// Where a system call's result is found: the low byte numbers the register (as instructions do)
/// that points to the guest's pt_regs.
struct ReturnSite {
  enum : std::uint64_t {
    reg = 0xff,
    in_rax = 0x100,     ///< the result is in rax, else in the pt_regs
    compat = 0x200,     ///< it is a 32-bit call
    by_status = 0x400,  ///< whether it is, the thread's status says (TS_COMPAT)
  };
};

/// function_return and module_load: what a site is to the function.
enum class SiteRole : std::uint64_t {
  exit,          ///< it leaves the function
  entry,         ///< it enters it: whose return is still to come is remembered
  foreign_exit,  ///< it leaves a function that ours ends in (a tail call): ours, if it was entered
};

struct AgentSite {
  std::uint64_t address = 0;
  std::uint64_t detail = 0;
  std::uint64_t role = 0;  ///< SiteRole, where it has one
  bool operator==(const AgentSite&) const = default;
};
struct AgentRange {
  std::uint64_t start = 0, size = 0;
  bool operator==(const AgentRange&) const = default;
};

inline constexpr std::uint64_t kAny = ~0ULL;
/// System calls by number, a bit each.
using CallSet = std::array<std::uint64_t, 8>;
inline constexpr CallSet kAllCalls = {kAny, kAny, kAny, kAny, kAny, kAny, kAny, kAny};

enum ExitOffsets : std::uint8_t {
  kTaskExitCode,
  kTaskSignal,
  kSignalFlags,
  kSignalGroupCode,
  kExitOffsets
};
enum ModuleOffsets : std::uint8_t { kModuleName, kModuleBase, kModuleSize, kModuleOffsets };

struct AgentProbe {
  static constexpr std::uint32_t kNone = 0xffffffff;
  std::uint32_t probe = 0;  ///< index into the program's probes; kNone: the host's own
  AgentEvent event = AgentEvent::execute;
  bool held = false;  ///< the host runs the block
  std::uint64_t param = 0;
  std::vector<AgentSite> sites;
  std::vector<AgentRange> ranges;
  std::vector<std::uint64_t> offsets;
  CallSet native = kAllCalls, compat = kAllCalls;
  bool operator==(const AgentProbe&) const = default;
};

/// Guest RAM as QEMU has it in its own memory.
struct AgentRam {
  std::uint64_t gpa = 0, size = 0, hva = 0;
  /// Not 0: a memory device, which QEMU may take out and unmap at any moment.
  std::uint64_t removable = 0;
  bool operator==(const AgentRam&) const = default;
};

struct AgentKernel {
  std::uint64_t root = 0;  ///< its own page tables, as a CR3
  std::uint8_t levels = 4;
  bool isolated = false;  ///< KPTI: bit 12 of a CR3 tells the user's half
  /// Instructions at which it ends, to start another without a reset (kexec).
  std::vector<std::uint64_t> ends;
  bool operator==(const AgentKernel&) const = default;
};

struct AgentPlan {
  std::vector<std::byte> program;  ///< vmipl::save() of a bound program
  std::vector<AgentProbe> probes;  ///< in script order
  std::vector<AgentRam> ram;
  AgentKernel kernel;
  std::vector<std::byte> moments;  ///< how to find a task's process: of moment_layout.h
  std::vector<std::uint64_t>
      tables;  ///< by virtual CPU: IDTR's base and limit, GDTR's base and limit
  std::uint32_t held_limit_ms = 1000;  ///< how long a virtual CPU waits for the host
  std::uint32_t ring_bytes = 4U << 20;
  /// Firings a second of a probe on a virtual CPU; throttle.h has the special ones.
  std::uint64_t rate_limit = kAny;
  /// What the program's maps hold from the start; empty: nothing. Else one for each.
  std::vector<SavedMap> maps;
  bool operator==(const AgentPlan&) const = default;
};

/// Sizes and ends that make sense.
[[nodiscard]] bool plausible(const std::vector<AgentRam>& ram);
[[nodiscard]] bool plausible(const std::vector<AgentRange>& ranges);

/// Where a probe of the running program is from now on.
struct AgentAim {
  std::uint32_t index = 0;  ///< into AgentPlan::probes
  std::vector<AgentSite> sites;
  std::vector<AgentRange> ranges;
  bool operator==(const AgentAim&) const = default;
};

inline constexpr std::size_t kMaxAgentProbes = 4096;
inline constexpr std::size_t kMaxAgentSites = 1U << 20;

[[nodiscard]] std::vector<std::byte> encode_plan(const AgentPlan& plan);
/// From bytes that may be forged: every count and kind is checked; that the program itself is
/// one, and fits the probes, is load_program()'s and the agent's work.
/// @returns malformed
[[nodiscard]] Result<AgentPlan> decode_plan(Bytes bytes);

}  // namespace vitrine::probe
