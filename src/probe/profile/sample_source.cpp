#include "probe/profile/sample_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "linux/stack/user_stack.h"
#include "probe/block_needs.h"
#include "probe/host_guest.h"
#include "probe/profile/sampled_cpu.h"
#include "probe/timers.h"
#include "probe/user_frames.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t kMostHertz = 1000;
constexpr std::uint64_t kForgetNs = 1'000'000'000;

bool is_sample(const vmipl::ProgramProbe& probe) {
  return vmipl::probes()[probe.probe].name == "Sample";
}

std::uint64_t hertz_of(const vmipl::ProgramProbe& probe) {
  return probe.arguments.empty() ? 1 : probe.arguments.front().number_value;
}

std::string addresses_of(const std::vector<linux::StackFrame>& frames) {
  std::string out;
  for (const auto& frame : frames) {
    const auto address = frame.address.value;
    out.append(reinterpret_cast<const char*>(&address), sizeof address);
  }
  return out;
}

/// A CPU as it was a moment ago; nothing waits for the block.
class SampleFiring final : public HeldFiring {
 public:
  SampleFiring(std::shared_ptr<const vmipl::Program> whose, const x86::Registers& registers)
      : whose_(std::move(whose)), registers_(registers) {
    program = whose_.get();
    monotonic_ns = monotonic_now();
  }
  [[nodiscard]] const x86::Registers* registers() const override { return &registers_; }
  [[nodiscard]] Told moment(unsigned i) const override {
    static const auto find = [](std::string_view name) {
      const auto all = vmipl::moments();
      const auto at = std::find_if(all.begin(), all.end(), [&](const auto& one) {
        return one.group.empty() && one.name == name;
      });
      return static_cast<unsigned>(at - all.begin());
    };
    static const unsigned kKernel = find("kstack"), kUser = find("ustack");
    if (i != kKernel && i != kUser) return {};
    const auto& stack = i == kKernel ? kernel_stack : user_stack;
    return stack ? Told::of(std::string_view(*stack)) : Told::none();
  }

  std::optional<std::string> kernel_stack, user_stack;  ///< as a stack's text (probe/value.h)

 private:
  std::shared_ptr<const vmipl::Program> whose_;
  const x86::Registers& registers_;
};

class SampleSource final : public EventSource {
 public:
  SampleSource(const Machine& machine, linux::AttachOptions attach)
      : machine_(machine), attach_(std::move(attach)) {}
  ~SampleSource() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "sampler"; }

  [[nodiscard]] std::vector<Offer> offers(const vmipl::Program& program) const override {
    std::vector<Offer> out;
    for (const auto& probe : program.probes)
      out.push_back(is_sample(probe) ? offer(probe) : Offer::refuse({}));
    return out;
  }

  Outcome<void> start(Assignment mine, EventSink& sink) override {
    stop();
    if (!kernel_) {
      kernel_ = TRY(linux::Kernel::attach(machine_, attach_));
      sampled_.emplace(TRY(SampledCpu::open(*kernel_, false)));
      if (auto users = linux::UserStacks::open(*kernel_)) users_ = std::move(*users);
    }
    TRY(machine_.registers());
    const std::lock_guard lock(mutex_);
    sink_ = &sink;
    ending_ = false;
    arm(std::move(mine));
    thread_ = std::thread([this] { run(); });
    return {};
  }

  Outcome<void> replace(Assignment mine) override {
    {
      const std::lock_guard lock(mutex_);
      arm(std::move(mine));
    }
    wake_.notify_all();
    return {};
  }

  void stop() noexcept override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] Losses losses() const override {
    const std::lock_guard lock(mutex_);
    Losses out{.firings = torn_ + late_, .words = {}};
    if (torn_ != 0)
      out.words.push_back(fmt::format(
          "{} samples were left out: registers and memory were not of one moment", torn_));
    if (late_ != 0)
      out.words.push_back(fmt::format("{} looks were due while one was still being taken", late_));
    return out;
  }

 private:
  [[nodiscard]] Offer offer(const vmipl::ProgramProbe& probe) const {
    if (!machine_.live())
      return Offer::refuse("nothing happens in an image", "attach to a running machine");
    const auto hertz = hertz_of(probe);
    if (hertz == 0 || hertz > kMostHertz)
      return Offer::refuse(fmt::format("the monitor answers at most {} times a second", kMostHertz),
                           fmt::format("Sample({}) or less often", kMostHertz));
    // Said to cost what the agent's own samples do, which come first: they miss nothing.
    return {.possible = true,
            .cost = CostClass::at_event,
            .coverage = Coverage::every,
            .mechanism = fmt::format("registers by the monitor, {} times a second", hertz),
            .reason = "the guest is not stopped: what is not of one moment is left out and counted",
            .remedy = {}};
  }

  void arm(Assignment mine) {
    mine_ = std::move(mine);
    timers_.clear();
    stacked_.clear();
    const auto now = monotonic_now();
    for (const auto index : mine_.probes) {
      const auto hertz =
          std::clamp<std::uint64_t>(hertz_of(mine_.program->probes[index]), 1, kMostHertz);
      const auto period = 1'000'000'000 / hertz;
      timers_.add(index, period, now);
      if (block_needs(*mine_.program, index).stacks) stacked_.insert(index);
    }
  }

  void run() {
    std::unique_lock lock(mutex_);
    auto forget_ns = monotonic_now() + kForgetNs;
    while (!ending_) {
      const auto due = timers_.wait(lock, wake_);
      if (!due) continue;
      late_ += due->missed;
      const bool stacks = stacked_.contains(due->probe);
      const auto program = mine_.program;
      lock.unlock();
      if (const auto now = monotonic_now(); now > forget_ns) {
        forget_ns = now + kForgetNs;
        sampled_->forget();
        if (users_) users_->forget();
      }
      const bool going = take(due->probe, stacks, program);
      lock.lock();
      if (!going) return;
    }
  }

  /// Looks at all CPUs. @returns false  the machine is gone
  bool take(std::uint32_t probe, bool stacks,
            const std::shared_ptr<const vmipl::Program>& program) {
    const auto all = machine_.registers();
    if (!all) {
      if (all.error().code == Errc::timeout) {
        const std::lock_guard lock(mutex_);
        ++late_;
        return true;
      }
      sink_->note({SourceNote::source_ended, std::nullopt, all.error().message});
      return false;
    }
    const auto& current = sampled_->current();
    for (unsigned cpu = 0; cpu < kernel_->cpu_count(); ++cpu) {
      if (!current.online(cpu)) continue;
      const auto* own = current.registers_of(*all, cpu);
      if (own == nullptr) continue;
      const auto seen = sampled_->look(*own, cpu);
      if (!seen) {
        const std::lock_guard lock(mutex_);
        ++torn_;
        continue;
      }
      SampleFiring firing(program, *own);
      firing.probe = probe;
      firing.cpu = cpu;
      firing.subject = seen->task;
      if (stacks) {
        firing.kernel_stack = addresses_of(seen->stack.frames);
        if (users_ && seen->stack.user) {
          if (const auto frames = users_->read(seen->task, *seen->stack.user))
            firing.user_stack = stack_text(frames->frames, sink_->user_frames());
        }
      }
      sink_->fire(firing);
    }
    return true;
  }

  const Machine& machine_;
  linux::AttachOptions attach_;
  std::unique_ptr<linux::Kernel> kernel_;
  std::optional<SampledCpu> sampled_;
  std::optional<linux::UserStacks> users_;
  EventSink* sink_ = nullptr;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Assignment mine_;
  Timers timers_;
  std::set<std::uint32_t> stacked_;  ///< probes whose blocks ask for stacks
  bool ending_ = false;
  std::uint64_t torn_ = 0, late_ = 0;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<EventSource> sample_source(const Machine& machine, linux::AttachOptions attach) {
  return std::make_unique<SampleSource>(machine, std::move(attach));
}

}  // namespace vitrine::probe
