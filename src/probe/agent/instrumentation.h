// Instrumentation: which instructions and accesses of a guest call into a running program, under
// TCG. Made from a plan before it takes effect; asked at each translation.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "probe/agent/counters.h"
#include "probe/agent/running_program.h"
#include "probe/agent/translating_cpu.h"
#include "probe/agent/values_before.h"
#include "probe/agent/watched_spans.h"
#include "x86/store_target.h"
#include "x86/system_instruction.h"

namespace vitrine::probe {

class Instrumentation {
 public:
  /// `program` must outlive this.
  Instrumentation(RunningProgram& program, const PluginApi& api);
  Instrumentation(const Instrumentation&) = delete;
  Instrumentation& operator=(const Instrumentation&) = delete;

  /// Registers callbacks on a block that is being translated. From any virtual CPU's thread.
  void translate(PluginBlock* block) noexcept;
  /// QEMU threw all translations away, with what points from them to hooks. While all virtual CPUs
  /// stand. (Programs come and go at ever new addresses: hooks would never end.)
  void forget_hooks() noexcept;
  /// The virtual CPU of that number is a new one: nothing is known of it. On its thread.
  void begins(unsigned vcpu);
  /// Some of the plan's probes are elsewhere now. As forget_hooks(), whose work it does too.
  void aim();
  /// False: nothing of the program hangs on code, and blocks need not be looked at.
  [[nodiscard]] bool looks_at_code() const {
    return !addresses_.empty() || watches_system_ || !accesses_.empty();
  }

  [[nodiscard]] const std::vector<const AgentProbe*>& samples() const { return samples_; }
  [[nodiscard]] const std::vector<const AgentProbe*>& resumes() const { return resumes_; }
  [[nodiscard]] RunningProgram& program() { return program_; }

 private:
  struct Trigger {
    const AgentProbe* probe;
    std::uint64_t detail;
    SiteRole role;
    std::optional<PluginCounter> counter;  ///< it only counts: no call is made
  };
  /// A function that was entered and has not returned: by where its return address lies.
  struct Frame {
    std::uint64_t stack = 0, function = 0;
    const AgentProbe* probe = nullptr;
  };
  /// What happens at one instruction's address; a callback's data.
  struct Hook {
    Instrumentation* owner;
    std::uint64_t address;
    std::vector<Trigger> triggers;
    bool calls = false;   ///< a trigger does more than count
    bool writes = false;  ///< the host may write registers at it
    bool ends = false;    ///< the kernel ends there
  };
  /// An instruction of programs' code. One translation of it serves all addresses at which its page
  /// is mapped, by programs whose other addresses may have hooks, and this one none.
  struct ProgramHook {
    Instrumentation* owner;
    std::uint64_t block, address;    ///< as it was translated
    std::vector<const Hook*> hooks;  ///< that lie as far into their pages
  };
  /// One translated system instruction.
  struct SystemHook {
    Instrumentation* owner;
    std::uint64_t address;
    x86::SystemInstruction instruction;
    std::uint8_t size;
    bool after_port = false;  ///< the instruction behind an `in`: its value is there now
  };
  struct Access {
    const AgentProbe* probe;
    std::uint64_t start, size;
  };
  /// An instruction that may write watched memory; its callbacks' data.
  struct StoreHook {
    Instrumentation* owner;
    std::uint64_t block, next;  ///< where its block begins, and the instruction behind it
    x86::StoreTarget target;
    x86::StoreTarget narrow_target;  ///< as 32-bit code, which it is if the CPU then says so
    bool either = false;             ///< which of both is not known before it runs
  };
  /// Of the store that a virtual CPU is about to do.
  struct Store {
    x86::StoreTarget target;
    std::array<std::uint64_t, 2> expected{};  ///< by a compare-and-exchange
    std::uint64_t address = 0;
    std::array<std::uint64_t, 2> read{};  ///< what an exchange found there
    std::uint64_t size = 0;               ///< of it; 0: it read nothing yet
  };
  struct PendingIn {
    std::uint64_t next = 0;
    std::uint16_t port = 0;
    std::uint8_t size = 0;
  };
  struct ModuleBeingLoaded {
    const AgentProbe* probe;
    std::uint64_t task, module;
  };

  /// Takes the sites and ranges of all probes.
  void place();
  void place_hooks(std::map<std::uint64_t, std::vector<Trigger>> by_address);
  [[nodiscard]] bool counts_only(const Trigger& trigger) const;
  static void on_execute(unsigned vcpu, void* hook);
  static void on_program(unsigned vcpu, void* hook);
  static void on_system(unsigned vcpu, void* hook);
  static void on_access(unsigned vcpu, std::uint32_t info, std::uint64_t address, void* owner);
  static void before_store(unsigned vcpu, void* hook);
  static void on_store(unsigned vcpu, std::uint32_t info, std::uint64_t address, void* hook);

  void translate_kernel(PluginBlock* block, std::size_t count) noexcept;
  void translate_program(PluginBlock* block, std::size_t count) noexcept;
  void translate_system(PluginBlock* block, std::size_t i) noexcept;
  [[nodiscard]] x86::SystemInstruction decode(PluginInstruction* instruction,
                                              std::uint8_t& size) const noexcept;
  /// What stands before the block's i-th instruction reads a port into a register.
  [[nodiscard]] bool behind_port_read(PluginBlock* block, std::size_t i) const noexcept;
  void reached(RunningProgram::Vcpu& cpu, const Hook& hook) noexcept;
  void system(RunningProgram::Vcpu& cpu, const SystemHook& hook) noexcept;
  void watch(const AgentProbe& probe);
  void translate_accesses(PluginBlock* block, std::size_t count) noexcept;
  /// Code of this block can come to watched memory.
  [[nodiscard]] bool reaches(PluginBlock* block) noexcept;
  [[nodiscard]] StoreHook* store_hook(PluginInstruction* instruction, std::uint64_t block,
                                      const std::optional<CodeMode>& mode) noexcept;
  void about_to_store(RunningProgram::Vcpu& cpu, const StoreHook& hook) noexcept;
  void accessed(RunningProgram::Vcpu& cpu, std::uint32_t info, std::uint64_t address,
                bool from_store) noexcept;
  /// What stands at the address now, and stood there before the write.
  [[nodiscard]] std::pair<std::optional<std::uint64_t>, std::optional<std::uint64_t>> values(
      RunningProgram::Vcpu& cpu, std::uint32_t info, std::uint64_t address,
      bool from_store) noexcept;
  /// Fills the event; false: it is none.
  [[nodiscard]] bool describe(RunningProgram::Vcpu& cpu, EventAt& event, SiteRole role) noexcept;
  [[nodiscard]] bool describe_module(RunningProgram::Vcpu& cpu, EventAt& event,
                                     SiteRole role) noexcept;
  [[nodiscard]] bool returns(RunningProgram::Vcpu& cpu, const EventAt& event,
                             SiteRole role) noexcept;
  void fire_all(RunningProgram::Vcpu& cpu, AgentEvent kind, std::uint64_t param,
                EventAt event) noexcept;
  [[nodiscard]] static bool same_param(const AgentProbe& probe, std::uint64_t param);

  RunningProgram& program_;
  const PluginApi& api_;
  std::vector<std::uint64_t> addresses_;  ///< of hooks_, ascending
  std::vector<Hook> hooks_;
  std::multimap<std::uint64_t, const Hook*> in_programs_;  ///< by how far into its page
  std::vector<Access> accesses_;
  WatchedSpans watched_;
  unsigned access_kinds_ = 0;
  bool wants_old_ = false;  ///< some block looks at what stood there before a write
  std::unique_ptr<ValuesBefore> before_;
  std::vector<Store> stores_;  ///< by virtual CPU
  bool access_needs_registers_ = false;
  bool access_is_kernel_ = false, access_is_user_ = false;  ///< all of accesses_ are
  TranslatingCpu translating_;
  bool watches_system_ = false, watches_ports_ = false;
  std::vector<const AgentProbe*> system_probes_, samples_, resumes_;

  std::mutex mutex_;  ///< of what follows: translations come from several threads
  std::unordered_map<std::uint64_t, std::vector<std::unique_ptr<SystemHook>>> system_hooks_;
  std::unordered_map<std::uint64_t, std::vector<std::unique_ptr<StoreHook>>> store_hooks_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, ProgramHook>
      program_hooks_;  ///< by block and address
  std::vector<ModuleBeingLoaded> loading_;
  std::vector<Frame> frames_;  ///< hashed by stack; empty where no function ends in another
  std::vector<std::array<PendingIn, 4>> pending_;  ///< by virtual CPU
  struct LastTables {
    std::optional<std::uint64_t> idtr, gdtr;
    std::unordered_map<std::uint32_t, std::uint64_t> msrs;
  };
  std::vector<LastTables> last_;  ///< by virtual CPU: what was written last
};

}  // namespace vitrine::probe
