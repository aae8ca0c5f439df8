// RunningProgram: a plan made ready to run: its program, maps, rings, and one environment and
// interpreter for each virtual CPU. It makes no events: an engine (tcg_engine.h) does, and
// calls fire().
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "base/problem.h"
#include "probe/agent/agent_environment.h"
#include "probe/agent/block_look.h"
#include "probe/agent/counters.h"
#include "probe/agent/message.h"
#include "probe/agent/plan.h"
#include "probe/agent/ring.h"
#include "probe/agent/throttle.h"
#include "probe/interpreter.h"
#include "probe/maps.h"

namespace vitrine::probe {

using HeldWriter = std::function<bool(const HeldWrite&)>;

/// The host, as a held virtual CPU sees it.
class HeldHost {
 public:
  virtual ~HeldHost() = default;
  /// Sends the event and waits until the host releases the CPU, is gone, or the time is up.
  /// @returns nothing  it did not answer in time, or is gone
  /// `write` writes as the CPU, on its thread: the host may ask for that while it waits.
  [[nodiscard]] virtual std::optional<Release> hold(Held& held, std::uint32_t limit_ms,
                                                    const HeldWriter& write) noexcept = 0;
  /// A word for the host. Never waits. @returns false  there is no host, or too much waits for it
  /// already: the word is dropped
  [[nodiscard]] virtual bool note(const AgentNote& note) noexcept = 0;
};

class RunningProgram {
 public:
  /// @param vcpus  how many rings and environments
  /// @returns malformed, unsupported  a program or a layout that is none, a plan that does not fit
  /// it
  [[nodiscard]] static Outcome<std::unique_ptr<RunningProgram>> create(AgentPlan plan,
                                                                       const PluginApi& api,
                                                                       unsigned vcpus,
                                                                       HeldHost& host);
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;
  ~RunningProgram();

  struct Vcpu;
  [[nodiscard]] Vcpu* vcpu(unsigned index) {
    return index < vcpus_.size() ? vcpus_[index].get() : nullptr;
  }

  /// Lets the probe see the event: its filter, then its block. On the CPU's thread.
  void fire(Vcpu& cpu, EventAt& event) noexcept;

  [[nodiscard]] const AgentPlan& plan() const { return plan_; }
  [[nodiscard]] const vmipl::Program& program() const { return *program_; }
  [[nodiscard]] MapStore& maps() { return *counters_; }
  [[nodiscard]] Counters& counters() { return *counters_; }
  [[nodiscard]] const RingMemory& rings() const { return rings_; }
  [[nodiscard]] HostedRam& ram() { return *ram_; }
  [[nodiscard]] AgentLosses losses() const;
  /// Other places for some of its probes. While all virtual CPUs stand.
  void aim(std::vector<AgentAim> aims);
  /// Which load of the controller it is; set before it runs.
  std::uint64_t generation = 0;
  /// The kernel that the plan is of is gone. From now on nothing fires.
  /// @param how  for people: "the machine was reset"
  void kernel_ends(std::string_view how) noexcept;
  [[nodiscard]] bool over() const { return over_.load(std::memory_order_relaxed); }
  /// false: the host is gone or the program goes: nothing is held any more.
  void may_hold(bool on) { holding_.store(on, std::memory_order_relaxed); }

  struct Vcpu {
    Vcpu(RunningProgram& program, const PluginApi& api, unsigned index);
    unsigned index;
    VcpuRegisters registers;
    AgentEnvironment environment;
    Interpreter interpreter;
    std::unique_ptr<BlockLook> look;  ///< where the plan holds any probe's CPU
    // Written by this CPU alone, read by whoever asks.
    std::atomic<std::uint64_t> fired{0}, thinned{0}, late{0}, over_budget{0};
    std::vector<Throttle> throttles;  ///< by probe of the plan
    std::uint64_t next_token = 1;
  };

 private:
  RunningProgram(AgentPlan plan, HeldHost& host, const PluginApi& api)
      : plan_(std::move(plan)), host_(host), api_(api) {}
  /// Runs the block, here or at the host.
  void run(Vcpu& cpu, EventAt& event) noexcept;
  /// The host hears of it once, or again when it did not take the word.
  void tell_thinned(std::size_t probe) noexcept;
  static void tell_module(Vcpu& cpu, EventAt& event, Held& held) noexcept;
  static void tell_event(Vcpu& cpu, Held& held) noexcept;
  void hold(Vcpu& cpu, EventAt& event) noexcept;
  [[nodiscard]] bool write(const HeldWrite& what) noexcept;

  AgentPlan plan_;
  HeldHost& host_;
  const PluginApi& api_;
  std::unique_ptr<vmipl::Program> program_;
  MomentLayout layout_;
  std::unique_ptr<HostedRam> ram_;
  std::unique_ptr<LocalMaps> maps_;
  std::unique_ptr<Counters> counters_;
  RingMemory rings_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::atomic<bool> holding_{true}, over_{false};
  std::vector<std::atomic<bool>> thinned_told_;  ///< by probe of the plan
};

}  // namespace vitrine::probe
