#include "probe/polling/polling_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "linux/boot_watch.h"
#include "linux/views/processes_columns.h"
#include "probe/block_needs.h"
#include "probe/polling/looker.h"
#include "probe/polling/told_process.h"
#include "probe/rate_gate.h"
#include "probe/words.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

std::optional<Change::Kind> kind_of(std::string_view probe) {
  if (probe == "ProcessStart") return Change::process_start;
  if (probe == "ProcessExec") return Change::process_exec;
  if (probe == "ProcessExit") return Change::process_exit;
  if (probe == "ModuleLoad") return Change::module_load;
  if (probe == "ModuleUnload") return Change::module_unload;
  return std::nullopt;
}

bool of_module(Change::Kind kind) {
  return kind == Change::module_load || kind == Change::module_unload;
}

std::string name_of(const vmipl::MomentInfo& moment) {
  return moment.group.empty() ? std::string(moment.name)
                              : fmt::format("{}.{}", moment.group, moment.name);
}

class ChangeFiring final : public HeldFiring {
 public:
  explicit ChangeFiring(const Change& change) : change_(change) {}

  [[nodiscard]] Told field(unsigned i) const override {
    switch (change_.kind) {
      case Change::process_start:
        return i == 0 ? Told::of(static_cast<std::uint64_t>(change_.process->parent))
                      : Told::none();
      case Change::process_exit:
        return i == 0 && change_.process->exit_code
                   ? Told::of(static_cast<std::uint64_t>(*change_.process->exit_code))
                   : Told::none();
      case Change::process_exec:
        return Told::none();
      case Change::module_load:
      case Change::module_unload:
        if (i == 0) return Told::of(std::string_view(change_.module->name));
        return i == 1   ? Told::of(change_.module->core)
               : i == 2 ? Told::of(change_.module->size)
                        : Told::none();
    }
    return Told::none();
  }
  [[nodiscard]] Told moment(unsigned i) const override {
    if (vmipl::moments()[i].group.empty() && vmipl::moments()[i].name == "now") return {};
    if (change_.process == nullptr) return Told::none();
    const auto told = moment_of(*change_.process, i);
    return told.state == Told::unknown ? Told::none() : told;
  }

 private:
  const Change& change_;
};

class PollingSource final : public EventSource {
 public:
  PollingSource(const Machine& machine, PollingOptions options)
      : machine_(machine), options_(std::move(options)) {}
  ~PollingSource() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "polling"; }
  [[nodiscard]] std::vector<Offer> offers(const vmipl::Program& program) const override {
    std::vector<Offer> out;
    for (std::uint32_t i = 0; i < program.probes.size(); ++i) out.push_back(offer(program, i));
    return out;
  }
  [[nodiscard]] Outcome<void> start(Assignment mine, EventSink& sink) override;
  [[nodiscard]] Outcome<void> replace(Assignment mine) override;
  void stop() noexcept override;
  [[nodiscard]] Losses losses() const override;

 private:
  [[nodiscard]] Offer offer(const vmipl::Program& program, std::uint32_t probe) const;
  [[nodiscard]] static LookFor wanted(const Assignment& mine);
  Outcome<void> attach();
  [[nodiscard]] std::chrono::nanoseconds period_of(const vmipl::Program& program) const {
    return settings_of(options_.settings, program).poll_period.value_or(kPollPeriod);
  }
  /// `mine` is the program from here on: its period, its gates.
  void take(Assignment mine);
  bool pass(std::uint32_t probe, std::uint64_t now_ns);
  void run();
  void look_again();
  void fire(const std::vector<Change>& all, const Look& now);
  void tell(SourceNote::Kind kind, std::string text) {
    sink_->note({kind, std::nullopt, std::move(text)});
  }

  const Machine& machine_;
  const PollingOptions options_;
  EventSink* sink_ = nullptr;
  std::thread thread_;
  std::unique_ptr<linux::Kernel> kernel_;
  std::optional<linux::BootWatch> boot_;
  std::optional<Looker> looker_;
  std::optional<Look> last_;
  bool told_failure_ = false, told_reset_ = false, told_end_ = false;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  Assignment mine_;
  std::chrono::nanoseconds period_ = kPollPeriod;
  std::uint64_t limit_ = 0;                  ///< of each probe
  std::map<std::uint32_t, RateGate> gates_;  ///< of each probe, if there is a limit
  std::uint64_t refused_before_ = 0;         ///< by the gates of programs that were replaced
  std::uint64_t looks_ = 0, late_ = 0, starts_ = 0, forks_ = 0;
  bool counts_forks_ = false;
};

Offer PollingSource::offer(const vmipl::Program& program, std::uint32_t probe) const {
  const auto& info = vmipl::probes()[program.probes[probe].probe];
  const auto kind = kind_of(info.name);
  if (!kind)
    return Offer::refuse(
        fmt::format("polling sees processes and modules come and go, not {}", info.name));
  if (!machine_.live())
    return Offer::refuse("an image does not change", "attach to a running machine");
  const auto needs = block_needs(program, probe);
  if (needs.register_values || needs.writes_registers)
    return Offer::refuse("polling comes after the event: its registers are gone",
                         "start the machine with the agent");
  for (const auto i : needs.moments) {
    const auto& moment = vmipl::moments()[i];
    if (moment.name == "now" && moment.group.empty()) continue;
    if (of_module(*kind))
      return Offer::refuse(
          fmt::format("polling comes after the event: who did it, {}, is not known",
                      name_of(moment)),
          "start the machine with the agent");
    if (!column_of_moment(i))
      return Offer::refuse(
          fmt::format("polling comes after the event: {} is not known", name_of(moment)),
          "start the machine with the agent");
  }
  Offer offer;
  offer.possible = true;
  offer.cost = CostClass::none;
  offer.coverage = Coverage::between;
  const auto period = period_of(program).count();
  offer.window_ns = static_cast<std::uint64_t>(period);
  offer.mechanism = fmt::format("the list of {} compared every {}",
                                of_module(*kind) ? "modules" : "processes", duration_words(period));
  offer.reason =
      fmt::format("what begins and ends within {} may be missed", duration_words(period));
  return offer;
}

LookFor PollingSource::wanted(const Assignment& mine) {
  LookFor wanted;
  wanted.columns.assign(linux::processes::kColumnCount, false);
  for (const auto probe : mine.probes) {
    const auto kind = kind_of(vmipl::probes()[mine.program->probes[probe].probe].name);
    if (!kind) continue;
    (of_module(*kind) ? wanted.modules : wanted.processes) = true;
    if (of_module(*kind)) continue;
    for (const auto moment : block_needs(*mine.program, probe).moments) {
      if (const auto column = column_of_moment(moment)) wanted.columns[*column] = true;
    }
    // Of every record: its process.
    wanted.columns[linux::processes::kName] = true;
  }
  return wanted;
}

Outcome<void> PollingSource::attach() {
  // All or nothing: a kernel that has just started cannot be looked at yet.
  auto kernel = TRY(linux::Kernel::attach(machine_, options_.attach));
  auto looker = TRY(Looker::open(*kernel, wanted(mine_)));
  auto first = TRY(looker.look());
  boot_.emplace(*kernel);
  looker_ = std::move(looker);
  last_ = std::move(first);
  kernel_ = std::move(kernel);  // last: the old looker looked at the old one
  return {};
}

Outcome<void> PollingSource::start(Assignment mine, EventSink& sink) {
  stop();
  take(std::move(mine));
  sink_ = &sink;
  told_failure_ = told_reset_ = told_end_ = ending_ = counts_forks_ = false;
  looks_ = late_ = starts_ = forks_ = refused_before_ = 0;
  TRY(attach());
  thread_ = std::thread([this] { run(); });
  return {};
}

void PollingSource::take(Assignment mine) {
  mine_ = std::move(mine);
  period_ = period_of(*mine_.program);
  limit_ = settings_of(options_.settings, *mine_.program).rate_limit.value_or(0);
  for (const auto& [probe, gate] : gates_) refused_before_ += gate.refused();
  gates_.clear();
  if (limit_ == 0) return;
  for (const auto probe : mine_.probes) gates_.emplace(probe, RateGate(RateLimit::of(limit_), 0));
}

Outcome<void> PollingSource::replace(Assignment mine) {
  const std::lock_guard lock(mutex_);  // between two looks
  const auto looker = wanted(mine);
  auto opened = Looker::open(*kernel_, looker);
  if (!opened) return std::unexpected(std::move(opened.error()));
  auto first = opened->look();
  if (!first) return std::unexpected(std::move(first.error()));
  // What happened since the last look belongs to the old program.
  if (last_) fire(changes(*last_, *first), *first);
  take(std::move(mine));
  looker_ = std::move(*opened);
  last_ = std::move(*first);
  wake_.notify_all();  // its period may be another
  return {};
}

void PollingSource::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PollingSource::run() {
  std::unique_lock lock(mutex_);
  auto period = period_;
  auto next = std::chrono::steady_clock::now() + period;
  while (!ending_) {
    if (wake_.wait_until(lock, next, [&] { return ending_ || period != period_; })) {
      next += period_ - period;
      period = period_;
      continue;
    }
    look_again();
    next += period;
    if (const auto now = std::chrono::steady_clock::now(); next < now) {
      late_ += static_cast<std::uint64_t>((now - next) / period) + 1;
      next = now + period;
    }
  }
  // The last look: what happened until the end.
  look_again();
}

void PollingSource::look_again() {
  if (mine_.probes.empty()) return;
  if (!machine_.alive()) {
    if (!told_end_) tell(SourceNote::source_ended, "the machine is gone: polling ends");
    told_end_ = true;
    return;
  }
  if (!boot_->same()) {
    if (!told_reset_)
      tell(SourceNote::guest_reset,
           "the guest runs another kernel than before: it was started anew");
    told_reset_ = true;
    return;
  }
  auto now = looker_->look();
  if (!now) {
    if (!told_failure_)
      tell(SourceNote::word, fmt::format("a look failed: {}", now.error().message));
    told_failure_ = true;
    return;
  }
  told_failure_ = false;
  ++looks_;
  if (last_) fire(changes(*last_, *now), *now);
  last_ = std::move(*now);
}

void PollingSource::fire(const std::vector<Change>& all, const Look& now) {
  if (last_->forks && now.forks) {
    counts_forks_ = true;
    forks_ += *now.forks - *last_->forks;
  }
  for (const auto& change : all) {
    if (change.kind == Change::process_start) ++starts_;
    for (const auto probe : mine_.probes) {
      if (kind_of(vmipl::probes()[mine_.program->probes[probe].probe].name) != change.kind)
        continue;
      if (!pass(probe, now.monotonic_ns)) continue;
      ChangeFiring firing(change);
      firing.probe = probe;
      firing.program = mine_.program.get();
      firing.monotonic_ns = now.monotonic_ns;
      sink_->fire(firing);
    }
  }
}

bool PollingSource::pass(std::uint32_t probe, std::uint64_t now_ns) {
  const auto gate = gates_.find(probe);
  if (gate == gates_.end() || gate->second.admit(now_ns)) return true;
  if (gate->second.refused() == 1) {
    const auto& written = mine_.program->probes[probe];
    sink_->note({SourceNote::thinned, probe,
                 fmt::format("line {}: {} fires more often than {} times a second: it is thinned",
                             written.line, vmipl::probes()[written.probe].name, limit_)});
  }
  return false;
}

Losses PollingSource::losses() const {
  const std::lock_guard lock(mutex_);
  Losses losses;
  losses.firings = refused_before_;
  for (const auto& [probe, gate] : gates_) losses.firings += gate.refused();
  if (losses.firings != 0)
    losses.words.push_back(
        fmt::format("polling: {} firings were left out by the rate limit", losses.firings));
  if (looks_ == 0) return losses;
  if (counts_forks_) {
    losses.words.push_back(
        fmt::format("polling: {} looks, {} new processes seen; the kernel counted {} forks "
                    "(threads included) in that time",
                    looks_, starts_, forks_));
  } else {
    losses.words.push_back(fmt::format(
        "polling: {} looks; what began and ended between two of them is not counted", looks_));
  }
  if (late_ != 0)
    losses.words.push_back(
        fmt::format("polling: {} looks were left out, as looking took longer than {}", late_,
                    duration_words(period_.count())));
  return losses;
}

}  // namespace

std::unique_ptr<EventSource> polling_source(const Machine& machine, PollingOptions options) {
  return std::make_unique<PollingSource>(machine, std::move(options));
}

}  // namespace vitrine::probe
