#include "probe/agent/agent_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "probe/agent/agent_exchange.h"
#include "probe/agent/agent_firing.h"
#include "probe/agent/agent_planner.h"
#include "probe/agent/agent_rings.h"
#include "probe/agent/followed_modules.h"
#include "probe/agent/memory_devices.h"
#include "probe/agent/remote_maps.h"
#include "probe/agent/throttle.h"
#include "probe/moment_fill.h"
#include "probe/named_places.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
constexpr auto kMemoryPeriod = 2s;
constexpr int kBusyMs = 1, kQuietMs = 8;

class Source final : public AgentSource {
 public:
  Source(AgentLink link, const QemuProcess& process, const linux::Kernel& kernel,
         AgentSourceOptions options)
      : link_(std::move(link)),
        process_(process),
        kernel_(kernel),
        options_(options),
        planner_(kernel, link_.welcome()),
        modules_(planner_) {}
  ~Source() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "agent"; }
  [[nodiscard]] bool shares_kernel() const noexcept override { return true; }

  [[nodiscard]] std::vector<Offer> offers(const vmipl::Program& program) const override {
    std::vector<Offer> offers;
    for (std::uint32_t i = 0; i < program.probes.size(); ++i) {
      if (vmipl::probes()[program.probes[i].probe].kind != vmipl::ProbeKind::event)
        offers.push_back(Offer::refuse({}));  // a stream: others say why
      else
        offers.push_back(planner_.look_at(program, i).offer);
    }
    return offers;
  }

  Outcome<void> start(Assignment mine, EventSink& sink) override {
    stop();
    sink_ = &sink;
    return load(std::move(mine));
  }

  Outcome<void> replace(Assignment mine) override {
    if (sink_ == nullptr)
      return std::unexpected(Problem(Errc::invalid, "the agent runs no program"));
    return load(std::move(mine));
  }

  void stop() noexcept override;
  [[nodiscard]] Losses losses() const override;
  [[nodiscard]] MapStore* maps(const vmipl::Program& program) override {
    // The one that runs, the one before and the one to come.
    while (maps_.size() > 4) maps_.pop_front();
    maps_.push_back(std::make_unique<RemoteMaps>(link_, program));
    return maps_.back().get();
  }
  /// What the running program's maps hold, before it goes.
  void keep_maps();

 private:
  Outcome<void> load(Assignment mine);
  void pump();
  void handle(AgentLink::Received received);
  void run_held();
  void watch_memory(std::stop_token end);
  void fire(Bytes body);
  /// Places anew what follows a module. @param held  the event that says so; null: none does
  void follow_modules(const Held* held);
  /// Whose event it is; null: nobody knows any more.
  [[nodiscard]] std::shared_ptr<const vmipl::Program> program_of(const Held& held) const;

  mutable AgentExchange link_;
  QemuProcess process_;
  const linux::Kernel& kernel_;
  AgentSourceOptions options_;
  AgentPlanner planner_;
  FollowedModules modules_;
  EventSink* sink_ = nullptr;
  std::deque<std::unique_ptr<RemoteMaps>> maps_;
  RemoteMaps* running_maps_ = nullptr;   ///< of the program that runs
  std::atomic<std::uint64_t> loads_{0};  ///< as the agent counts them
  /// By the load that they are of. The last but one, too: its events may still be on their way.
  std::map<std::uint64_t, std::shared_ptr<const vmipl::Program>> programs_;
  mutable std::mutex programs_mutex_;
  std::atomic<bool> running_{false};

  std::thread pump_;
  std::atomic<bool> ending_{false};

  std::thread holder_;  ///< runs the blocks of held events
  std::mutex held_mutex_;
  std::condition_variable held_came_;
  std::deque<std::vector<std::byte>> held_;
  bool held_ending_ = false;

  std::jthread memory_watch_;
  std::mutex devices_mutex_;
  std::string devices_;  ///< the memory devices that the agent was told of

  AgentRings rings_;
  std::optional<AgentLosses> last_losses_;
};

Outcome<void> Source::load(Assignment mine) {
  AgentPlan plan;
  bool follows = false;
  plan.program = vmipl::save(*mine.program);
  for (const auto index : mine.probes) {
    auto made = planner_.look_at(*mine.program, index);
    if (!made.offer.possible) {
      return std::unexpected(
          Problem(Errc::unsupported,
                  fmt::format("line {}: {}", mine.program->probes[index].line, made.offer.reason),
                  made.offer.remedy));
    }
    plan.probes.push_back(std::move(made.probe));
    follows = follows || followed_module(mine.program->probes[index]);
  }
  if (follows) plan.probes.push_back(TRY(planner_.module_watch()));
  auto ram = TRY(ask_machine_ram(process_));
  plan.ram = std::move(ram.ranges);
  const auto root = kernel_.memory().root();
  plan.kernel = {root.table.value,
                 static_cast<std::uint8_t>(root.levels),
                 kernel_.identity().page_table_isolation,
                 {}};
  // All ways of starting another kernel without a reset end here, a crash's included.
  if (const auto end = kernel_.symbols().find("machine_kexec"))
    plan.kernel.ends.push_back(end->value);
  if (!maps_.empty()) plan.maps = maps_.back()->take_restored();
  const auto moments = save(fill_moment_layout(kernel_).layout);
  plan.moments.assign(moments.begin(), moments.end());
  plan.held_limit_ms = options_.held_limit_ms;
  plan.ring_bytes = options_.ring_bytes;
  plan.rate_limit =
      settings_of(options_.settings, *mine.program).rate_limit.value_or(Throttle::kByTime);
  if (const auto registers = kernel_.machine().registers()) {
    for (const auto& cpu : *registers) {
      for (const auto value : {cpu.idtr.base.value, std::uint64_t{cpu.idtr.limit},
                               cpu.gdtr.base.value, std::uint64_t{cpu.gdtr.limit}})
        plan.tables.push_back(value);
    }
  }
  {
    // Before it runs: its first event may come before the answer.
    const std::lock_guard lock(programs_mutex_);
    const auto next = loads_ + 1;
    programs_[next] = mine.program;
    programs_.erase(programs_.begin(), programs_.lower_bound(next - 1));
  }
  FileDescriptor memory;
  keep_maps();
  const auto message =
      TRY(link_.request(MessageKind::load, encode_plan(plan), MessageKind::loaded, &memory));
  const auto loaded = decode_message<Loaded>(message.body);
  if (!loaded) return std::unexpected(Problem(Errc::protocol, "the agent's answer is none"));
  if (!loaded->ok)
    return std::unexpected(
        Problem(Errc::unsupported, fmt::format("the agent refuses: {}", loaded->why)));
  auto rings = TRY(RingMemory::open(std::move(memory), loaded->rings));
  rings_.read(std::move(rings), mine.program);
  running_ = true;
  running_maps_ = maps_.empty() ? nullptr : maps_.back().get();
  ++loads_;
  modules_.begin(mine.program, plan);
  if (running_maps_ != nullptr) running_maps_->belongs_to(loads_);
  {
    const std::lock_guard lock(devices_mutex_);
    devices_ = std::move(ram.devices);
  }
  if (!pump_.joinable()) {
    ending_ = false;
    held_ending_ = false;
    pump_ = std::thread([this] { pump(); });
    link_.listens(pump_.get_id());
    holder_ = std::thread([this] { run_held(); });
    memory_watch_ = std::jthread([this](std::stop_token end) { watch_memory(std::move(end)); });
  }
  if (follows) {
    // Modules that came between the look of the plan and its taking effect.
    const std::lock_guard lock(held_mutex_);
    held_.emplace_back();
    held_came_.notify_one();
  }
  return {};
}

void Source::stop() noexcept {
  if (!pump_.joinable()) return;
  memory_watch_ = {};
  // First nothing fires any more, then what the host has of it ends: counts and maps are of one
  // moment. The agent has them until the connection ends.
  if (running_) (void)link_.request(MessageKind::unload, {}, MessageKind::unloaded);
  {
    const std::lock_guard lock(held_mutex_);
    held_ending_ = true;
  }
  held_came_.notify_one();
  holder_.join();
  if (running_) {
    if (const auto last = link_.request(MessageKind::losses, {}, MessageKind::losses_reply); last) {
      if (const auto losses = decode_message<AgentLosses>(last->body)) last_losses_ = *losses;
    }
    keep_maps();
  }
  running_ = false;
  ending_ = true;
  pump_.join();
  pump_ = {};
  link_.listens({});
  sink_ = nullptr;
}

void Source::pump() {
  while (true) {
    const bool ending = ending_;
    const bool any = rings_.drain(*sink_);
    if (ending && !any) return;
    while (auto one = link_.kept()) handle(std::move(*one));
    auto received = link_.receive(
        Clock::now() + std::chrono::milliseconds(any ? 0 : (running_ ? kBusyMs : kQuietMs)));
    if (received) {
      handle(std::move(*received));
      continue;
    }
    if (received.error().code == Errc::timeout) continue;
    link_.ended();
    if (!ending_) sink_->note({SourceNote::source_ended, std::nullopt, received.error().message});
    while (rings_.drain(*sink_)) {
    }
    running_ = false;
    return;
  }
}

void Source::handle(AgentLink::Received received) {
  switch (received.message.kind) {
    case MessageKind::held: {
      // Not on this thread: the block, or another that runs just now, may ask for a map, whose
      // answer comes by way of this one.
      const std::lock_guard lock(held_mutex_);
      // A CPU waits for one at a time, and for so long: an agent that says more is none of ours.
      if (held_.size() >= 2 * kMaxVcpus) return;
      held_.push_back(std::move(received.message.body));
      held_came_.notify_one();
      return;
    }
    case MessageKind::note: {
      const auto note = decode_message<AgentNote>(received.message.body);
      if (note && note->kind <= SourceNote::source_ended) {
        sink_->note({static_cast<SourceNote::Kind>(note->kind),
                     note->probe == AgentNote::kNoProbe ? std::nullopt : std::optional(note->probe),
                     note->text});
      }
      return;
    }
    default:
      break;
  }
  link_.answered(std::move(received));
}

void Source::run_held() {
  std::unique_lock lock(held_mutex_);
  for (;;) {
    held_came_.wait(lock, [&] { return !held_.empty() || held_ending_; });
    if (held_.empty()) return;
    const auto body = std::move(held_.front());
    held_.pop_front();
    lock.unlock();
    fire(body);
    lock.lock();
  }
}

// The agent reads only where it was told that RAM is.
void Source::watch_memory(std::stop_token end) {
  std::mutex mutex;
  std::condition_variable_any wake;
  for (;;) {
    {
      std::unique_lock lock(mutex);
      if (wake.wait_for(lock, end, kMemoryPeriod, [&] { return end.stop_requested(); })) return;
    }
    const auto now = ask_memory_devices(process_);
    if (!now || !running_) continue;
    {
      const std::lock_guard lock(devices_mutex_);
      if (*now == devices_) continue;
    }
    auto ram = ask_machine_ram(process_);
    if (!ram || !link_.request(MessageKind::ram, encode(ram->ranges), MessageKind::ram_known))
      continue;
    {
      const std::lock_guard lock(devices_mutex_);
      devices_ = std::move(ram->devices);
    }
    sink_->note({SourceNote::word, std::nullopt,
                 "memory was plugged or unplugged: the agent knows where RAM is now"});
  }
}

void Source::follow_modules(const Held* held) {
  sink_->modules_changed([&] {
    // Of a program that was replaced: the next one's own look sees it.
    if (held != nullptr && held->generation != loads_) return;
    const auto change = modules_.look(held);
    auto words = change.words;
    if (!change.aims.empty()) {
      if (auto done = link_.request(MessageKind::aim, encode(change.aims), MessageKind::aimed);
          !done)
        words.push_back(fmt::format("what follows a module could not be placed anew: {}",
                                    done.error().message));
    }
    for (auto& text : words) sink_->note({SourceNote::word, std::nullopt, std::move(text)});
  });
}

std::shared_ptr<const vmipl::Program> Source::program_of(const Held& held) const {
  const std::lock_guard lock(programs_mutex_);
  const auto found = programs_.find(held.generation);
  return found != programs_.end() ? found->second : nullptr;
}

void Source::fire(Bytes body) {
  if (body.empty()) return follow_modules(nullptr);
  const auto held = decode_message<Held>(body);
  if (!held || held->vcpu >= kMaxVcpus) return;
  if (held->probe == AgentProbe::kNone) {
    if (modules_.concerns(*held)) follow_modules(&*held);
    (void)link_.send(MessageKind::release, encode(Release{held->vcpu, held->token, {}}));
    return;
  }
  AgentFiring::Write write;
  if ((link_.welcome().can & Welcome::write_code) != 0) {
    write = [this](const HeldWrite& what) -> Outcome<void> {
      TRY(link_.request(MessageKind::write, encode(what), MessageKind::wrote));
      return {};
    };
  }
  const auto program = program_of(*held);
  if (!program) {
    (void)link_.send(MessageKind::release, encode(Release{held->vcpu, held->token, {}}));
    return;
  }
  AgentFiring firing(*held, (link_.welcome().can & Welcome::write_registers) != 0,
                     std::move(write));
  firing.program = program.get();
  // What the CPUs wrote before comes before.
  (void)rings_.drain(*sink_);
  sink_->fire(firing);
  (void)link_.send(MessageKind::release, encode(firing.release()));
}

Losses Source::losses() const {
  Losses losses;
  losses.records = rings_.lost();
  auto last = last_losses_;
  if (running_) {
    if (const auto message = link_.request(MessageKind::losses, {}, MessageKind::losses_reply);
        message) {
      if (const auto now = decode_message<AgentLosses>(message->body)) last = *now;
    }
  }
  if (last) {
    losses.firings = last->firings + last->late;
    if (last->firings != 0)
      losses.words.push_back(
          fmt::format("{} firings were thinned: too many for the guest", last->firings));
    if (last->late != 0)
      losses.words.push_back(fmt::format(
          "{} firings were given up: the host did not run their block in time", last->late));
    if (last->over_budget != 0)
      losses.words.push_back(
          fmt::format("{} firings ran over their budget and were ended", last->over_budget));
  }
  if (losses.records != 0)
    losses.words.push_back(fmt::format("{} records found no room in a ring", losses.records));
  return losses;
}

void Source::keep_maps() {
  if (!running_ || maps_.empty()) return;
  // The last but one if another program's are asked for already.
  for (auto& maps : maps_) {
    if (maps.get() == running_maps_) maps->keep();
  }
}

}  // namespace

Outcome<std::unique_ptr<AgentSource>> AgentSource::open(const QemuProcess& process,
                                                        const linux::Kernel& kernel,
                                                        AgentSourceOptions options) {
  const auto path = find_agent_socket(process.pid);
  if (!path) {
    return std::unexpected(Problem(Errc::not_found,
                                   fmt::format("{} runs without the agent", process.name()),
                                   "add what `vitrine qemu-args` prints to its command line"));
  }
  auto link = TRY(AgentLink::connect(*path));
  // Not by its own word alone: the folder may be anybody's.
  if (link.welcome().pid != static_cast<std::uint32_t>(process.pid) || link.peer() != process.pid)
    return std::unexpected(
        Problem(Errc::protocol, fmt::format("what listens at {} is another process", *path)));
  return std::make_unique<Source>(std::move(link), process, kernel, options);
}

}  // namespace vitrine::probe
