// RunSession: a script that runs: its sources, its blocks on the host, its maps and outputs.
//
// Nothing half-started: every view, file, permission and source is there before the first
// block runs, or start() says what is missing and has undone the rest.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "probe/clock_source.h"
#include "probe/event_source.h"
#include "probe/host_environment.h"
#include "probe/host_guest.h"
#include "probe/interpreter.h"
#include "probe/maps.h"
#include "probe/outputs.h"
#include "probe/planner.h"
#include "probe/words.h"

namespace vitrine::probe {

/// Does the actions that Print and Report are not: Pause, WriteMemory, Snapshot ...
class ActionRunner {
 public:
  ActionRunner() = default;
  ActionRunner(const ActionRunner&) = delete;
  ActionRunner& operator=(const ActionRunner&) = delete;
  virtual ~ActionRunner() = default;
  /// @returns why this action cannot be had here: told before the start, by line
  [[nodiscard]] virtual Outcome<void> can(const vmipl::Program& program,
                                          const vmipl::Site& site) = 0;
  /// @returns what went wrong: told, counted; the block goes on
  [[nodiscard]] virtual Outcome<void> run(const vmipl::Program& program, const vmipl::Site& site,
                                          std::span<const ValueView> values,
                                          HeldFiring& firing) = 0;
};

struct RunOptions {
  TextRules rules;
  bool json = false;
  PlanOptions plan;
  MapLimits maps;
  std::uint64_t event_budget = kEventBudget;
  std::uint64_t host_budget = kHostBudget;
  /// Records of several CPUs come one CPU after the other: so long they wait to be put in order.
  std::uint64_t order_ns = 50'000'000;
  /// Called with every record that leaves the program, beside the printing. May be empty.
  std::function<void(const vmipl::Program&, const Record&)> watch;
};

/// How often a probe fired on the host, and how that ended.
struct ProbeCount {
  std::uint64_t fired = 0, over_budget = 0;
};

/// Threads: start, replace, stop from one; request and the rest from any.
class RunSession final : private EventSink {
 public:
  /// All must outlive it. `sources` stand in the order of the ladder; the clock is added.
  /// `actions` may be null: then scripts with actions are refused.
  RunSession(HostGuest guest, std::vector<EventSource*> sources, ActionRunner* actions,
             Outputs& outputs, RunOptions options);
  ~RunSession() override;

  /// What would run how; for `check --vm`. No effect.
  [[nodiscard]] Plan plan(const vmipl::Program& program) const;

  /// Whether its actions and data probes can be had on this machine. No effect.
  /// @param permissions  a permission that was not given counts, too
  [[nodiscard]] Outcome<void> judge_sites(const vmipl::Program& program, bool permissions) const;

  /// Starts a verified, bound program. Start's block has run when it returns.
  /// @returns unsupported  what cannot be had, by its line; or what a source, view or file refused
  [[nodiscard]] Outcome<void> start(std::shared_ptr<const vmipl::Program> program);
  /// Another program in its place, atomically: the old one's Stop runs and its maps are printed,
  /// the new one's Start runs. After an error the old one runs on.
  [[nodiscard]] Outcome<void> replace(std::shared_ptr<const vmipl::Program> program);
  /// Detaches, runs Stop, prints maps and counts. Does nothing a second time.
  void stop();

  /// A source saw the kernel end (a reset, a kexec): nothing more is to be expected of it.
  [[nodiscard]] bool kernel_gone() const { return kernel_gone_; }
  /// Whoever sees it first says so.
  void kernel_ends(const std::string& words) {
    note({SourceNote::guest_reset, std::nullopt, words});
  }
  /// Lets go of the kernel, which ended: its sources are stopped, and may be destroyed then; blocks
  /// do not run. Streams go on, maps and outputs stay; a map that holds stacks is printed and
  /// emptied, as nobody can name them any more.
  /// @returns io  there is no address space for its maps
  [[nodiscard]] Outcome<void> leave_kernel();
  /// Goes on with the kernel that came after: the same script, bound to it, neither Start nor Stop
  /// run. Tells how long nothing was seen. The old kernel must live until it returns.
  /// @param sources  among them those that outlive_kernel(), the same objects as before
  /// @returns unsupported  what cannot be had there: the script is still without a kernel
  [[nodiscard]] Outcome<void> enter_kernel(HostGuest guest, std::vector<EventSource*> sources,
                                           ActionRunner* actions,
                                           std::shared_ptr<const vmipl::Program> program);

  /// @returns how many probes wait for this request
  std::size_t request(std::uint64_t number) { return clock_.request(number); }
  /// The numbers that the script waits for, ascending.
  [[nodiscard]] std::vector<std::uint64_t> requests() const;

  /// Returns after `for_ns`, or when the script asked for its end, or nobody reads its output.
  void wait(std::uint64_t for_ns);
  [[nodiscard]] bool ended() const { return ended_ || outputs_.closed(); }
  /// Runs `use` while no block runs: for whoever looks at the same kernel.
  template <class Use>
  decltype(auto) between_blocks(Use&& use) {
    const std::lock_guard lock(run_mutex_);
    return use();
  }
  /// Something was lost, late, doubtful or over budget: told at the end.
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  struct Generation;
  void records(Bytes bytes) override;
  void records_of(const vmipl::Program& program, Bytes bytes) override;
  void fire(HeldFiring& firing) override;
  void stream(std::uint32_t probe, Bytes bytes) override;
  void note(SourceNote note) override;
  void modules_changed(const std::function<void()>& look) override;
  [[nodiscard]] UserFrames* user_frames() override { return guest_->user_frames.get(); }

  [[nodiscard]] Outcome<std::unique_ptr<Generation>> prepare(
      std::shared_ptr<const vmipl::Program> program);
  [[nodiscard]] Outcome<void> judge_streams(const vmipl::Program& program) const;
  void run_block(Generation& generation, HeldFiring& firing);
  void run_own(Generation& generation, std::string_view probe);
  bool emitted(Generation& generation, unsigned site, std::span<const ValueView> values);
  void receive(const Generation& generation);
  void take(std::shared_ptr<const vmipl::Program> program, Bytes bytes);
  void deliver(std::shared_ptr<const vmipl::Program> program, Record record);
  void put_out(const vmipl::Program& program, const Record& record);
  /// Puts out what is older than `before_ns`, in the order of time.
  void settle(std::uint64_t before_ns);
  void print_map(Generation& generation, unsigned map, std::optional<std::uint64_t> top);
  void finish(Generation& generation);
  /// `more`: further keys of its JSON.
  void remark(const std::string& words, std::string_view more = {}) const;

  /// The kernel's own layout, and upon it what the script's configuration says.
  void use_settings(const vmipl::Program& program);

  /// Its maps are the host's from here on: their source goes.
  [[nodiscard]] Outcome<void> keep_maps(Generation& generation);
  void hand_over_maps(Generation& from, Generation& to);
  /// @returns the one before
  std::optional<HostGuest> use_guest(HostGuest guest);
  /// Gives each source its share of `next`; after an error they have their share of current_.
  /// Until entered() the firings of the new program wait.
  [[nodiscard]] Outcome<void> start_sources(Generation& next);
  void entered();
  /// Calls what may wait for a source's firing, which waits for run_mutex_. With it, as all here.
  template <class Call>
  decltype(auto) without_lock(Call&& call) const {
    struct Again {
      std::mutex& mutex;
      ~Again() { mutex.lock(); }
    };
    run_mutex_.unlock();
    const Again again{run_mutex_};
    return call();
  }
  template <class Call>
  decltype(auto) asking(const EventSource& source, Call&& call) const {
    return source.shares_kernel() ? call() : without_lock(call);
  }

  std::optional<HostGuest> guest_;
  FilledMoment own_moment_;
  std::uint64_t own_list_head_ = 0;
  std::uint32_t own_list_offset_ = 0;
  std::vector<EventSource*> sources_;
  ClockSource clock_;
  ActionRunner* actions_;
  Outputs& outputs_;
  RunOptions options_;
  mutable std::mutex run_mutex_;  ///< blocks on the host, the kernel, generations
  std::unique_ptr<Generation> current_;
  /// The program that sources are being given, and that does not run yet; else null.
  const vmipl::Program* entering_ = nullptr;
  std::condition_variable entered_;
  std::vector<EventSource*> started_;
  std::uint64_t host_sequence_ = 0;
  std::map<std::uint32_t, std::uint64_t> cpu_sequences_;  ///< of firings that were held
  std::uint64_t stale_ = 0;  ///< firings that came after their program was replaced
  std::uint64_t late_ = 0;   ///< turns of Every among them: no event of the guest
  /// Between two kernels: since when, and what came of it.
  std::optional<std::uint64_t> away_since_ns_;
  std::atomic<std::uint64_t> gone_ns_ = 0;
  std::uint64_t away_ns_ = 0, away_times_ = 0, away_firings_ = 0;
  std::vector<std::pair<std::string_view, Losses>> losses_before_;  ///< of sources that are gone
  std::uint64_t started_ns_ = 0;
  std::map<std::string, std::uint64_t> failures_;  ///< of actions, by their words

  // Records come from sources' threads while a block runs: they have a lock of their own, which
  // is taken after run_mutex_, never before it.
  struct Waiting {
    std::shared_ptr<const vmipl::Program> program;
    Record record;
  };
  mutable std::mutex records_mutex_;
  std::shared_ptr<const vmipl::Program> records_program_;  ///< whose records come
  std::shared_ptr<const vmipl::Program> program_before_;   ///< whose records may still come
  std::multimap<std::uint64_t, Waiting> waiting_;          ///< by time
  std::atomic<bool> in_order_ = false;                     ///< some source's records come late
  std::uint64_t malformed_ = 0;                            ///< records that were none
  std::uint64_t delivered_ = 0;
  std::uint64_t stale_records_ = 0;  ///< of a program that is neither this nor the one before

  mutable std::mutex wait_mutex_;
  std::condition_variable wake_;
  std::atomic<bool> ended_ = false, kernel_gone_ = false;
  bool complete_ = true;
};

}  // namespace vitrine::probe
