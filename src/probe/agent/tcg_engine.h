// TcgEngine: makes the events of a running program under QEMU's translator, by the plugin
// interface. It knows nothing of sockets; another engine (under KVM) would stand in its place.
//
// Idle, nothing is instrumented and no callback is registered but the birth of a virtual CPU.
// A change of programs is one step for the guest: on a virtual CPU's thread QEMU is asked for a
// reset of the plugin; QEMU stops all virtual CPUs between two blocks, throws its translations
// away, and calls us; there the new program takes the old one's place. No CPU is within a
// callback then, so no event is missed, seen twice, or seen by both.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "probe/agent/instrumentation.h"
#include "probe/agent/plugin_abi.h"
#include "probe/agent/running_program.h"

namespace vitrine::probe {

class TcgEngine {
 public:
  /// @param patience  how long a change of programs waits for a virtual CPU
  TcgEngine(PluginApi api, PluginId id, unsigned max_vcpus,
            std::chrono::milliseconds patience = std::chrono::seconds(5));
  ~TcgEngine();
  TcgEngine(const TcgEngine&) = delete;
  TcgEngine& operator=(const TcgEngine&) = delete;

  /// Registers what is registered while idle. Once, from qemu_plugin_install().
  void install();

  /// Lets `next` (null: nothing) take the place of what runs. Blocks the caller, which is no
  /// virtual CPU's thread, until it took effect.
  /// @returns timeout      no virtual CPU came by in time: the old program runs on, and `next` is
  ///                       forgotten; that nothing is to run takes effect when one comes
  /// @returns unsupported  under KVM no code is translated; a probe that this QEMU cannot serve
  Outcome<void> switch_to(std::unique_ptr<RunningProgram> next);

  /// Probes of the program that runs are elsewhere from now on: it takes effect as a change does,
  /// before the calling virtual CPU executes another block if reset_if_wanted() is called on its
  /// thread, soon otherwise (nudge()). Blocks nobody.
  void aim(std::vector<AgentAim> aims);
  void nudge();
  /// On a virtual CPU's thread. Does nothing if no change waits for one.
  void reset_if_wanted();

  [[nodiscard]] RunningProgram* running() { return program_.get(); }
  /// The one before, which runs no more: its maps can be looked at until the next change.
  [[nodiscard]] RunningProgram* previous() { return previous_.get(); }
  void forget_previous() { previous_.reset(); }
  [[nodiscard]] const PluginApi& api() const { return api_; }
  [[nodiscard]] unsigned vcpus() const;
  [[nodiscard]] unsigned max_vcpus() const { return max_vcpus_; }

 private:
  struct Slot {
    TcgEngine* engine = nullptr;
    unsigned vcpu = 0;
    std::atomic<std::uint64_t> due{0};  ///< bits of samples() that are to be taken
    std::atomic<bool> queued{false};
    std::atomic<bool> resumed{false};  ///< its held OnResume is under way
  };

  // Called by QEMU. The interface hands them no data of ours, so the engine is known to them.
  static void vcpu_started(PluginId id, unsigned vcpu);
  static void vcpu_idles(PluginId id, unsigned vcpu);
  static void vcpu_resumes(PluginId id, unsigned vcpu);
  static void translating(PluginId id, PluginBlock* block);
  static void after_reset(PluginId id);
  static void translations_gone(PluginId id);
  static void machine_resets(void* engine);
  static void ask_for_reset(void* cpu, void* engine);
  static void take_sample(void* cpu, void* slot);
  static void hold_resumed(void* cpu, void* slot);

  void put_in_place();
  void sample_for(std::stop_token stop, std::vector<std::uint64_t> hertz);
  void start_sampling();
  void stop_sampling();

  const PluginApi api_;
  const PluginId id_;
  const unsigned max_vcpus_;
  const std::chrono::milliseconds patience_;

  std::mutex mutex_;  ///< of the change
  std::condition_variable changed_;
  bool wanted_ = false;  ///< a change waits for a virtual CPU
  bool reset_asked_ = false;
  std::unique_ptr<RunningProgram> next_program_;
  std::unique_ptr<Instrumentation> next_;
  std::vector<AgentAim> aims_;  ///< for the program that runs

  /// Held shared by what runs on a CPU's thread outside of blocks (samples, resumes), which an
  /// exclusive moment of QEMU does not keep out.
  std::shared_mutex outside_;
  std::unique_ptr<RunningProgram> program_, previous_;
  std::unique_ptr<Instrumentation> instrumentation_;
  std::atomic<Instrumentation*> current_{nullptr};
  bool looked_at_code_ = false;  // since QEMU started; written while all CPUs stand
  std::vector<std::unique_ptr<Slot>> slots_;
  std::jthread sampler_;
};

}  // namespace vitrine::probe
