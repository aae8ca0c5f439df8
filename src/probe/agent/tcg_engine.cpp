#include "probe/agent/tcg_engine.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

namespace vitrine::probe {
namespace {

// The interface's callbacks of whole CPUs and blocks carry no data of ours.
TcgEngine* the_engine = nullptr;

using namespace std::chrono_literals;

bool runs_under_kvm() {
  const auto* allowed = static_cast<const bool*>(::dlsym(RTLD_DEFAULT, "kvm_allowed"));
  return allowed != nullptr && *allowed;
}

/// The program's side of a virtual CPU, on that CPU's thread, its registers ready to be read. Null
/// if nothing runs.
RunningProgram::Vcpu* settled(Instrumentation* current, unsigned vcpu) {
  auto* cpu = current != nullptr ? current->program().vcpu(vcpu) : nullptr;
  if (cpu != nullptr) cpu->registers.settle();
  return cpu;
}

/// An event that nothing but its probe is known of.
void fire(Instrumentation& current, RunningProgram::Vcpu& cpu, const AgentProbe& probe) {
  EventAt event;
  event.probe = &probe;
  current.program().fire(cpu, event);
}

}  // namespace

TcgEngine::TcgEngine(PluginApi api, PluginId id, unsigned max_vcpus,
                     std::chrono::milliseconds patience)
    : api_(api), id_(id), max_vcpus_(std::max(max_vcpus, 1U)), patience_(patience) {
  the_engine = this;
  for (unsigned i = 0; i < max_vcpus_; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->engine = this;
    slots_.back()->vcpu = i;
  }
}

TcgEngine::~TcgEngine() {
  stop_sampling();
  the_engine = nullptr;
}

void TcgEngine::install() {
  api_.on_vcpu_init(id_, vcpu_started, nullptr);
  if (api_.on_machine_reset != nullptr) api_.on_machine_reset(machine_resets, this);
}

void TcgEngine::machine_resets(void* engine) {
  auto& self = *static_cast<TcgEngine*>(engine);
  const std::shared_lock outside(self.outside_);
  if (self.program_) self.program_->kernel_ends("the machine was reset");
}

unsigned TcgEngine::vcpus() const { return static_cast<unsigned>(std::max(api_.vcpu_count(), 0)); }

// ---- the change

Outcome<void> TcgEngine::switch_to(std::unique_ptr<RunningProgram> next) {
  if (next && runs_under_kvm()) {
    return std::unexpected(Problem(
        Errc::unsupported,
        "this machine runs under KVM, and the agent makes its events from translated code (TCG)"));
  }
  std::unique_ptr<Instrumentation> prepared;
  if (next) {
    prepared = std::make_unique<Instrumentation>(*next, api_);
    if (!prepared->samples().empty() && (api_.run_on_cpu == nullptr || api_.cpu == nullptr)) {
      return std::unexpected(
          Problem(Errc::unsupported,
                  "Sample needs a QEMU that exports async_run_on_cpu (one built with modules)"));
    }
  }
  if (!next && current_.load() == nullptr && !program_) return {};
  stop_sampling();
  if (program_) program_->may_hold(false);
  std::unique_lock lock(mutex_);
  // What a change that came late left here, or is given up, goes without our lock: for its counters
  // QEMU takes its own, under which put_in_place() comes for ours.
  auto stale_program = std::exchange(next_program_, std::move(next));
  auto stale = std::exchange(next_, std::move(prepared));
  wanted_ = true;
  reset_asked_ = false;
  lock.unlock();
  stale.reset();
  stale_program.reset();
  nudge();
  lock.lock();
  if (!changed_.wait_for(lock, patience_, [&] { return !wanted_; })) {
    if (next_program_) {
      // Who is refused must not run later, with nobody to hear it: the old one goes on.
      wanted_ = false;
      stale = std::move(next_);
      stale_program = std::move(next_program_);
      lock.unlock();
      if (program_) program_->may_hold(true);
      start_sampling();
    } else {
      lock.unlock();
    }
    return std::unexpected(
        Problem(Errc::timeout, "no virtual CPU came by to change programs",
                "a machine that is paused needs `cont`, or a QEMU that exports async_run_on_cpu"));
  }
  // What the swap left over: the old ones are destroyed here, not while all CPUs wait.
  auto old_instrumentation = std::move(next_);
  auto old_program = std::move(next_program_);
  lock.unlock();
  old_instrumentation.reset();
  previous_ = std::move(old_program);
  start_sampling();
  return {};
}

void TcgEngine::aim(std::vector<AgentAim> aims) {
  const std::lock_guard lock(mutex_);
  std::ranges::move(aims, std::back_inserter(aims_));
}

void TcgEngine::nudge() {
  if (api_.run_on_cpu != nullptr && api_.cpu != nullptr) {
    if (auto* cpu = api_.cpu(0); cpu != nullptr) {
      api_.run_on_cpu(cpu, ask_for_reset, this);
      return;
    }
  }
  // The interface alone: whichever comes first, a CPU that falls asleep or wakes, or a block
  // that is translated, calls us on its thread.
  api_.on_vcpu_idle(id_, vcpu_idles, nullptr);
  api_.on_vcpu_resume(id_, vcpu_resumes, nullptr);
  if (current_.load() == nullptr) api_.on_block(id_, translating, nullptr);
}

void TcgEngine::ask_for_reset(void*, void* engine) {
  static_cast<TcgEngine*>(engine)->reset_if_wanted();
}

void TcgEngine::reset_if_wanted() {
  {
    const std::lock_guard lock(mutex_);
    if ((!wanted_ && aims_.empty()) || reset_asked_) return;
    reset_asked_ = true;
  }
  api_.reset(id_, after_reset);
}

void TcgEngine::translations_gone(PluginId) {
  if (auto* current = the_engine->current_.load(); current != nullptr) current->forget_hooks();
}

void TcgEngine::after_reset(PluginId) { the_engine->put_in_place(); }

void TcgEngine::put_in_place() {
  // All virtual CPUs stand between two blocks, and there is no translated code any more.
  const std::unique_lock outside(outside_);
  const std::lock_guard lock(mutex_);
  if (wanted_) {
    std::swap(program_, next_program_);
    std::swap(instrumentation_, next_);
    current_.store(instrumentation_.get());
    wanted_ = false;
  } else if (!aims_.empty() && instrumentation_) {
    program_->aim(std::exchange(aims_, {}));
    instrumentation_->aim();
  }
  aims_.clear();  // of a program that is gone
  reset_asked_ = false;
  api_.on_vcpu_init(id_, vcpu_started, nullptr);
  // Once a plugin has looked at blocks, one must go on to: a translation that a page fault breaks
  // off leaves its instruction behind in QEMU (tcg_ctx->plugin_insn), and a block translated after
  // that without a plugin ends in a crash of QEMU. Seen with 10.0.2, within seconds of process
  // churn.
  looked_at_code_ = looked_at_code_ || (instrumentation_ && instrumentation_->looks_at_code());
  if (looked_at_code_) {
    api_.on_block(id_, translating, nullptr);
    if (api_.on_flush != nullptr) api_.on_flush(id_, translations_gone);
  }
  if (instrumentation_) {
    if (!instrumentation_->resumes().empty()) api_.on_vcpu_resume(id_, vcpu_resumes, nullptr);
  }
  changed_.notify_all();
}

// ---- what QEMU calls

void TcgEngine::vcpu_started(PluginId, unsigned vcpu) {
  auto& engine = *the_engine;
  const std::shared_lock outside(engine.outside_);
  if (vcpu < engine.slots_.size()) {
    // What was queued on one that had this number was never done.
    engine.slots_[vcpu]->queued.store(false);
    engine.slots_[vcpu]->resumed.store(false);
  }
  if (auto* current = engine.current_.load(); current != nullptr) current->begins(vcpu);
}

void TcgEngine::translating(PluginId, PluginBlock* block) {
  auto& engine = *the_engine;
  if (auto* current = engine.current_.load(std::memory_order_acquire); current != nullptr)
    current->translate(block);
  else
    engine.reset_if_wanted();
}

void TcgEngine::vcpu_idles(PluginId, unsigned) { the_engine->reset_if_wanted(); }

void TcgEngine::vcpu_resumes(PluginId, unsigned vcpu) {
  auto& engine = *the_engine;
  engine.reset_if_wanted();
  const std::shared_lock outside(engine.outside_);
  auto* current = engine.current_.load();
  auto* cpu = settled(current, vcpu);
  if (cpu == nullptr) return;
  bool held = false;
  for (const auto* probe : current->resumes()) {
    if (probe->held) {
      held = true;
      continue;
    }
    fire(*current, *cpu, *probe);
  }
  if (!held || vcpu >= engine.slots_.size()) return;
  // Here QEMU's main loop waits with us, the monitor with it, and the host may ask the monitor.
  // Work that runs alone comes next on this thread, before any instruction, without that lock.
  auto& slot = *engine.slots_[vcpu];
  if (auto* qemu_cpu = engine.api_.cpu(static_cast<int>(vcpu));
      qemu_cpu != nullptr && !slot.resumed.exchange(true))
    engine.api_.run_alone(qemu_cpu, hold_resumed, &slot);
}

void TcgEngine::hold_resumed(void*, void* data) {
  auto& slot = *static_cast<Slot*>(data);
  slot.resumed.store(false);
  auto& engine = *slot.engine;
  const std::shared_lock outside(engine.outside_);
  auto* current = engine.current_.load();
  auto* cpu = settled(current, slot.vcpu);
  if (cpu == nullptr) return;
  for (const auto* probe : current->resumes()) {
    if (!probe->held) continue;
    fire(*current, *cpu, *probe);
  }
}

// ---- samples

void TcgEngine::take_sample(void*, void* data) {
  auto& slot = *static_cast<Slot*>(data);
  slot.queued.store(false);
  const auto due = slot.due.exchange(0);
  auto& engine = *slot.engine;
  const std::shared_lock outside(engine.outside_);
  auto* current = engine.current_.load();
  auto* cpu = settled(current, slot.vcpu);
  if (cpu == nullptr) return;
  const auto& samples = current->samples();
  for (std::size_t i = 0; i < samples.size() && i < 64; ++i) {
    if ((due >> i & 1) == 0) continue;
    fire(*current, *cpu, *samples[i]);
  }
}

void TcgEngine::sample_for(std::stop_token stop, std::vector<std::uint64_t> hertz) {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  using Clock = std::chrono::steady_clock;
  std::vector<Clock::time_point> next(hertz.size(), Clock::now());
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    const auto now = Clock::now();
    std::uint64_t due = 0;
    auto soonest = now + 1s;
    for (std::size_t i = 0; i < hertz.size() && i < 64; ++i) {
      const auto period = std::chrono::nanoseconds(1'000'000'000 / hertz[i]);
      if (next[i] <= now) {
        due |= 1ULL << i;
        next[i] += period;
        if (next[i] <= now) next[i] = now + period;  // what was missed is not made up for
      }
      soonest = std::min(soonest, next[i]);
    }
    if (due != 0) {
      for (unsigned i = 0; i < vcpus() && i < slots_.size(); ++i) {
        auto& slot = *slots_[i];
        slot.due.fetch_or(due);
        auto* cpu = api_.cpu(static_cast<int>(i));
        if (cpu != nullptr && !slot.queued.exchange(true)) api_.run_on_cpu(cpu, take_sample, &slot);
      }
    }
    std::unique_lock lock(mutex);
    wake.wait_until(lock, stop, soonest, [] { return false; });
  }
}

/// Of the program that runs; by the thread that changes programs.
void TcgEngine::start_sampling() {
  if (!instrumentation_ || instrumentation_->samples().empty()) return;
  std::vector<std::uint64_t> hertz;
  for (const auto* probe : instrumentation_->samples())
    hertz.push_back(std::clamp<std::uint64_t>(probe->param, 1, 10000));
  sampler_ = std::jthread([this, hertz = std::move(hertz)](std::stop_token stop) {
    sample_for(std::move(stop), hertz);
  });
}

void TcgEngine::stop_sampling() {
  if (!sampler_.joinable()) return;
  sampler_.request_stop();
  sampler_.join();
  sampler_ = {};
}

}  // namespace vitrine::probe
