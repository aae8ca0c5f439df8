#include "probe/run_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "probe/block_needs.h"
#include "probe/data_probe.h"
#include "probe/record_words.h"
#include "probe/run_generation.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

/// Start and Stop: no source's, the session's.
class OwnFiring final : public HeldFiring {
 public:
  explicit OwnFiring(std::uint32_t which) {
    probe = which;
    monotonic_ns = monotonic_now();
  }
};

bool is_own(const vmipl::Site& site) {
  const auto name = vmipl::probes()[site.probe].name;
  return site.is_map_print || name == "Print" || name == "Report" || name == "Stop" ||
         name == "ProcessList" || is_local_data(site);
}

}  // namespace

RunSession::RunSession(HostGuest guest, std::vector<EventSource*> sources, ActionRunner* actions,
                       Outputs& outputs, RunOptions options)
    : sources_(std::move(sources)),
      clock_(!guest.machine.live()),
      actions_(actions),
      outputs_(outputs),
      options_(std::move(options)) {
  options_.rules.symbol = [this](std::uint64_t frame) {
    if (!is_kernel_frame(frame) && guest_->user_frames) return guest_->user_frames->name(frame);
    return symbol_words(guest_->kernel, frame).value_or(std::string());
  };
  options_.rules = probe::complete(options_.rules);
  sources_.push_back(&clock_);
  (void)use_guest(std::move(guest));
}

std::optional<HostGuest> RunSession::use_guest(HostGuest guest) {
  // Records that are put out name their stacks by it.
  const std::lock_guard lock(records_mutex_);
  own_moment_ = guest.moment;
  own_list_head_ = guest.list_head;
  own_list_offset_ = guest.list_offset;
  std::optional<HostGuest> before(std::move(guest_));
  guest_.emplace(std::move(guest));
  return before;
}

RunSession::~RunSession() { stop(); }

void RunSession::remark(const std::string& words, std::string_view more) const {
  if (options_.json) {
    auto line = json_head("note", wall_now());
    line += ",\"text\":";
    (void)options_.rules.json(line, words);
    (void)outputs_.write_line(line.append(more) + "}\n");
  }
  outputs_.remark(words);
}

void RunSession::use_settings(const vmipl::Program& program) {
  guest_->moment = own_moment_;
  guest_->list_head = own_list_head_;
  guest_->list_offset = own_list_offset_;
  for (const auto& words : apply_settings(program, *guest_)) remark("! " + words);
}

Plan RunSession::plan(const vmipl::Program& program) const {
  return probe::plan(program, sources_, options_.plan);
}

// Packets and pictures are no text: they go to a file, or a pipe.
Outcome<void> RunSession::judge_streams(const vmipl::Program& program) const {
  for (const auto& probe : program.probes) {
    const auto name = vmipl::probes()[probe.probe].name;
    if ((name != "CaptureNetwork" && name != "CaptureScreen") ||
        outputs_.is_file(program, probe.output))
      continue;
    const auto to = output_name(program, probe.output);
    return std::unexpected(
        Problem(Errc::unsupported,
                fmt::format("line {}: what {} gives is no text: it needs a file", probe.line, name),
                fmt::format("write {}(..., \"FILE\"), or start it with --channel {}=FILE", name,
                            to.empty() ? "NAME" : to.substr(1))));
  }
  return {};
}

Outcome<void> RunSession::judge_sites(const vmipl::Program& program, bool permissions) const {
  for (const auto& site : program.sites) {
    if (is_own(site)) continue;
    const auto name = vmipl::probes()[site.probe].name;
    const auto refuse = [&](std::string why, std::string hint) {
      return std::unexpected(Problem(
          Errc::unsupported, fmt::format("line {}: {} cannot be had: {}", site.line, name, why),
          std::move(hint)));
    };
    if (name == "ReadVMCS")
      return refuse("a VMCS is kept by the processor for the host's KVM, which shows it to nobody",
                    "the guest's registers are had by ReadRegister");
    if (actions_ == nullptr) return refuse("nothing here does it", {});
    if (auto able = actions_->can(program, site);
        !able && (permissions || able.error().code != Errc::denied))
      return refuse(able.error().message, able.error().hint);
  }
  return {};
}

Outcome<std::unique_ptr<RunSession::Generation>> RunSession::prepare(
    std::shared_ptr<const vmipl::Program> program) {
  auto made = std::make_unique<Generation>();
  made->program = std::move(program);
  const auto& code = *made->program;
  made->plan = probe::plan(code, sources_, options_.plan, [&](const EventSource& source) {
    return asking(source, [&] { return source.offers(code); });
  });
  if (auto refusals = made->plan.refusals(); !refusals.empty()) {
    // All of them in one: each by its line.
    Problem all = std::move(refusals.front());
    for (std::size_t i = 1; i < refusals.size(); ++i) {
      all.message += "\n" + refusals[i].message;
      if (!refusals[i].hint.empty() && all.hint.find(refusals[i].hint) == std::string::npos)
        all.hint += (all.hint.empty() ? "" : "\n") + refusals[i].hint;
    }
    return std::unexpected(std::move(all));
  }
  TRY(judge_streams(code));
  TRY(judge_sites(code, true));
  made->counts.resize(code.probes.size());
  for (std::size_t i = 0; i < sources_.size() && made->maps == nullptr; ++i) {
    if (!made->plan.of(i).empty()) made->maps = sources_[i]->maps(code);
  }
  if (made->maps == nullptr) {
    made->own_maps = TRY(LocalMaps::create(code.maps, options_.maps));
    made->maps = made->own_maps.get();
  }
  auto* generation = made.get();
  made->environment = std::make_unique<HostEnvironment>(
      code, *guest_, [this, generation](unsigned site, std::span<const ValueView> values) {
        return emitted(*generation, site, values);
      });
  TRY(made->environment->prepare());
  made->interpreter = std::make_unique<Interpreter>(code, *made->maps);
  TRY(outputs_.open(code));
  return made;
}

Outcome<void> RunSession::start(std::shared_ptr<const vmipl::Program> program) {
  const std::lock_guard lock(run_mutex_);
  use_settings(*program);
  auto generation = TRY(prepare(std::move(program)));
  for (const auto& words : generation->plan.warnings()) remark("! " + words);
  started_ns_ = monotonic_now();
  receive(*generation);
  if (auto begun = start_sources(*generation); !begun) {
    const std::lock_guard records_lock(records_mutex_);
    records_program_.reset();
    return begun;
  }
  current_ = std::move(generation);
  outputs_.commit(*current_->program);
  run_own(*current_, "Start");
  entered();
  return {};
}

Outcome<void> RunSession::replace(std::shared_ptr<const vmipl::Program> program) {
  const std::lock_guard lock(run_mutex_);
  if (!current_) return std::unexpected(Problem(Errc::invalid, "no script runs"));
  if (kernel_gone_)
    return std::unexpected(Problem(Errc::vanished, "the guest is being started anew",
                                   "once it is up, a script can be replaced again"));
  auto next = TRY(prepare(std::move(program)));
  receive(*next);
  if (auto begun = start_sources(*next); !begun) {
    receive(*current_);
    return begun;
  }
  for (const auto& words : next->plan.warnings()) remark("! " + words);
  run_own(*current_, "Stop");
  settle(~0ULL);
  finish(*current_);
  use_settings(*next->program);
  outputs_.commit(*next->program);
  current_ = std::move(next);
  run_own(*current_, "Start");
  entered();
  return {};
}

void RunSession::entered() {
  entering_ = nullptr;
  entered_.notify_all();
}

void RunSession::receive(const Generation& generation) {
  const auto late = [](const PlannedProbe& probe) {
    return probe.offer.cost == CostClass::at_event || probe.offer.cost == CostClass::every_access;
  };
  // Names of stacks are looked up while records come: modules' are read now.
  (void)guest_->kernel.module_symbols();
  const std::lock_guard lock(records_mutex_);
  program_before_ = std::exchange(records_program_, generation.program);
  in_order_ = std::any_of(generation.plan.probes.begin(), generation.plan.probes.end(), late);
}

void RunSession::stop() {
  // Without the lock: sources wait for firings that are under way.
  for (auto* source : started_) source->stop();
  outputs_.wait_for_reader();
  const std::lock_guard lock(run_mutex_);
  if (!current_) return;
  run_own(*current_, "Stop");
  settle(~0ULL);
  finish(*current_);
  started_.clear();
  current_.reset();
}

std::vector<std::uint64_t> RunSession::requests() const {
  const std::lock_guard lock(run_mutex_);
  std::set<std::uint64_t> numbers;
  if (current_) {
    for (const auto& probe : current_->program->probes) {
      if (vmipl::probes()[probe.probe].name == "OnExternalRequest" && !probe.arguments.empty())
        numbers.insert(probe.arguments.front().number_value);
    }
  }
  return {numbers.begin(), numbers.end()};
}

void RunSession::wait(std::uint64_t for_ns) {
  if (in_order_) settle(monotonic_now() - options_.order_ns);
  std::unique_lock lock(wait_mutex_);
  wake_.wait_for(lock, std::chrono::nanoseconds(for_ns),
                 [&] { return ended_.load() || outputs_.closed(); });
}

void RunSession::run_own(Generation& generation, std::string_view name) {
  for (std::uint32_t i = 0; i < generation.program->probes.size(); ++i) {
    if (vmipl::probes()[generation.program->probes[i].probe].name != name) continue;
    OwnFiring firing(i);
    run_block(generation, firing);
  }
}

void RunSession::fire(HeldFiring& firing) {
  std::unique_lock lock(run_mutex_);
  // Of a program that is about to run: once it does.
  entered_.wait(lock, [&] {
    return entering_ == nullptr ||
           (firing.program != nullptr ? firing.program != entering_ : current_ != nullptr);
  });
  if (!current_ || ended_) return;
  const auto* program = firing.program != nullptr ? firing.program : current_->program.get();
  const bool stale = program != current_->program.get() || firing.probe >= program->probes.size();
  if (stale || kernel_gone_) {
    const bool turn = firing.probe < program->probes.size() &&
                      vmipl::probes()[program->probes[firing.probe].probe].name == "Every";
    ++(turn ? late_ : stale ? stale_ : away_firings_);
    return;
  }
  run_block(*current_, firing);
}

void RunSession::run_block(Generation& generation, HeldFiring& firing) {
  const auto& probe = generation.program->probes[firing.probe];
  const bool host = by_the_clock(probe);
  generation.firing = &firing;
  generation.environment->begin(firing);
  auto& count = generation.counts[firing.probe];
  ++count.fired;
  const auto ran = generation.interpreter->run(firing.probe, *generation.environment,
                                               host ? options_.host_budget : options_.event_budget);
  if (ran.end == Firing::End::over_budget && count.over_budget++ == 0) {
    remark(fmt::format(
        "! line {}: {} ran out of its budget of {} instructions: that firing ended; how often is "
        "counted",
        probe.line, written(probe), host ? options_.host_budget : options_.event_budget));
  }
  generation.firing = nullptr;
}

bool RunSession::emitted(Generation& generation, unsigned index,
                         std::span<const ValueView> values) {
  const auto& program = *generation.program;
  const auto& site = program.sites[index];
  const auto name = vmipl::probes()[site.probe].name;
  if (name == "Stop") {
    ended_ = true;
    wake_.notify_all();
    return false;
  }
  if (site.is_map_print) {
    print_map(generation, static_cast<unsigned>(site.numbers[0]),
              site.numbers.size() > 1 ? std::optional(site.numbers[1]) : std::nullopt);
    return true;
  }
  if (!is_own(site)) {
    if (actions_ == nullptr) return true;
    if (auto done = actions_->run(program, site, values, *generation.firing); !done) {
      const auto words = fmt::format("line {}: {}: {}", site.line, name, done.error().message);
      if (failures_[words]++ == 0) remark("! " + words);
      complete_ = false;
    }
    return true;
  }
  Record record;
  record.head = generation.environment->head();
  record.head.site = static_cast<std::uint16_t>(index);
  record.head.sequence = record.head.cpu == RecordHead::kHostCpu
                             ? host_sequence_++
                             : cpu_sequences_[record.head.cpu]++;
  record.values.assign(values.begin(), values.end());
  if (name == "ProcessList") {
    record.values = generation.environment->process_list(site.numbers);
    if (const auto& problem = generation.environment->list_problem(); !problem.empty()) {
      if (failures_[problem]++ == 0) remark("! " + problem);
      complete_ = false;
    }
  } else if (is_local_data(site)) {
    std::array<ValueView, kMaxDataValues> data;
    const auto count = read_data(site, values, *generation.environment, generation.room, data);
    record.values.insert(record.values.end(), data.begin(),
                         data.begin() + static_cast<std::ptrdiff_t>(count));
  }
  deliver(generation.program, std::move(record));
  return true;
}

}  // namespace vitrine::probe
