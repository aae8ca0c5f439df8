#include "probe/run_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "probe/block_needs.h"
#include "probe/data_probe.h"
#include "probe/map_words.h"
#include "probe/record_words.h"
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

bool by_the_clock(const vmipl::ProgramProbe& probe) {
  const auto& info = vmipl::probes()[probe.probe];
  return info.kind == vmipl::ProbeKind::event && (info.needs & vmipl::Needs::events) == 0;
}

}  // namespace

/// A program that runs here, with all that its blocks need.
struct RunSession::Generation {
  std::shared_ptr<const vmipl::Program> program;
  Plan plan;
  std::unique_ptr<LocalMaps> own_maps;
  MapStore* maps = nullptr;  ///< own_maps, or a source's
  std::unique_ptr<HostEnvironment> environment;
  std::unique_ptr<Interpreter> interpreter;
  std::vector<ProbeCount> counts;
  std::vector<char> room = std::vector<char>(kMaxDataBytes);
  HeldFiring* firing = nullptr;
};

RunSession::RunSession(HostGuest guest, std::vector<EventSource*> sources, ActionRunner* actions,
                       Outputs& outputs, RunOptions options)
    : guest_(std::move(guest)),
      own_moment_(guest_.moment),
      own_list_head_(guest_.list_head),
      own_list_offset_(guest_.list_offset),
      sources_(std::move(sources)),
      clock_(!guest_.machine.live()),
      actions_(actions),
      outputs_(outputs),
      options_(std::move(options)) {
  options_.rules.symbol = [this](std::uint64_t address) {
    return symbol_words(guest_.kernel, address).value_or(std::string());
  };
  options_.rules = probe::complete(options_.rules);
  sources_.push_back(&clock_);
}

RunSession::~RunSession() { stop(); }

void RunSession::remark(const std::string& words) const {
  if (options_.json) {
    auto line = json_head("note", wall_now());
    line += ",\"text\":";
    (void)options_.rules.json(line, words);
    (void)outputs_.write_line(line + "}\n");
  }
  outputs_.remark(words);
}

void RunSession::use_settings(const vmipl::Program& program) {
  guest_.moment = own_moment_;
  guest_.list_head = own_list_head_;
  guest_.list_offset = own_list_offset_;
  for (const auto& words : apply_settings(program, guest_)) remark("! " + words);
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

Outcome<void> RunSession::judge_sites(const vmipl::Program& program) const {
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
    if (auto able = actions_->can(program, site); !able)
      return refuse(able.error().message, able.error().hint);
  }
  return {};
}

Outcome<std::unique_ptr<RunSession::Generation>> RunSession::prepare(
    std::shared_ptr<const vmipl::Program> program) {
  auto made = std::make_unique<Generation>();
  made->program = std::move(program);
  const auto& code = *made->program;
  made->plan = plan(code);
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
  TRY(judge_sites(code));
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
      code, guest_, [this, generation](unsigned site, std::span<const ValueView> values) {
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
  // Held firings that come before Start's block has run wait for this lock.
  current_ = std::move(generation);
  started_ns_ = monotonic_now();
  receive(*current_);
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    auto probes = current_->plan.of(i);
    if (probes.empty()) continue;
    if (auto begun = sources_[i]->start({current_->program, std::move(probes)}, *this); !begun) {
      for (auto* source : started_) source->stop();
      started_.clear();
      current_.reset();
      const std::lock_guard records_lock(records_mutex_);
      records_program_.reset();
      return begun;
    }
    started_.push_back(sources_[i]);
  }
  outputs_.commit(*current_->program);
  run_own(*current_, "Start");
  return {};
}

Outcome<void> RunSession::replace(std::shared_ptr<const vmipl::Program> program) {
  const std::lock_guard lock(run_mutex_);
  if (!current_) return std::unexpected(Problem(Errc::invalid, "no script runs"));
  auto next = TRY(prepare(std::move(program)));
  receive(*next);
  // Each source takes its share of the new program, or none. Where one refuses, those that
  // took theirs get the old one's back.
  std::vector<std::size_t> taken;
  std::vector<EventSource*> begun;
  Outcome<void> failed{};
  for (std::size_t i = 0; i < sources_.size() && failed; ++i) {
    auto probes = next->plan.of(i);
    const bool runs = std::find(started_.begin(), started_.end(), sources_[i]) != started_.end();
    if (!runs && probes.empty()) continue;
    if (runs) {
      failed = sources_[i]->replace({next->program, std::move(probes)});
      if (failed) taken.push_back(i);
    } else {
      failed = sources_[i]->start({next->program, std::move(probes)}, *this);
      if (failed) begun.push_back(sources_[i]);
    }
  }
  if (!failed) {
    receive(*current_);
    for (auto* source : begun) source->stop();
    for (const auto i : taken) {
      if (auto back = sources_[i]->replace({current_->program, current_->plan.of(i)}); !back)
        remark(fmt::format("! {}: {}", sources_[i]->name(), back.error().message));
    }
    return failed;
  }
  started_.insert(started_.end(), begun.begin(), begun.end());
  for (const auto& words : next->plan.warnings()) remark("! " + words);
  run_own(*current_, "Stop");
  settle(~0ULL);
  finish(*current_);
  use_settings(*next->program);
  outputs_.commit(*next->program);
  current_ = std::move(next);
  run_own(*current_, "Start");
  return {};
}

void RunSession::receive(const Generation& generation) {
  const auto late = [](const PlannedProbe& probe) {
    return probe.offer.cost == CostClass::at_event || probe.offer.cost == CostClass::every_access;
  };
  // Names of stacks are looked up while records come: modules' are read now.
  (void)guest_.kernel.module_symbols();
  const std::lock_guard lock(records_mutex_);
  program_before_ = std::exchange(records_program_, generation.program);
  in_order_ = std::any_of(generation.plan.probes.begin(), generation.plan.probes.end(), late);
}

void RunSession::stop() {
  // Without the lock: sources wait for firings that are under way.
  for (auto* source : started_) source->stop();
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

bool RunSession::still_there() {
  const std::lock_guard lock(run_mutex_);
  return guest_.kernel.still_there();
}

void RunSession::run_own(Generation& generation, std::string_view name) {
  for (std::uint32_t i = 0; i < generation.program->probes.size(); ++i) {
    if (vmipl::probes()[generation.program->probes[i].probe].name != name) continue;
    OwnFiring firing(i);
    run_block(generation, firing);
  }
}

void RunSession::fire(HeldFiring& firing) {
  const std::lock_guard lock(run_mutex_);
  if (!current_ || ended_) return;
  if ((firing.program != nullptr && firing.program != current_->program.get()) ||
      firing.probe >= current_->program->probes.size()) {
    ++stale_;
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

void RunSession::deliver(std::shared_ptr<const vmipl::Program> program, Record record) {
  constexpr std::size_t kMostWaiting = 100'000;
  bool full = false;
  {
    const std::lock_guard lock(records_mutex_);
    ++delivered_;
    if (!in_order_) {
      put_out(*program, record);
      return;
    }
    const auto time = record.head.monotonic_ns;
    waiting_.emplace(time, Waiting{std::move(program), std::move(record)});
    full = waiting_.size() > kMostWaiting;
  }
  settle(full ? ~0ULL : monotonic_now() - options_.order_ns);
}

void RunSession::settle(std::uint64_t before_ns) {
  const std::lock_guard lock(records_mutex_);
  while (!waiting_.empty() && waiting_.begin()->first <= before_ns) {
    const auto first = waiting_.begin();
    put_out(*first->second.program, first->second.record);
    waiting_.erase(first);
  }
}

void RunSession::put_out(const vmipl::Program& program, const Record& record) {
  if (options_.watch) options_.watch(program, record);
  const auto output = program.sites[record.head.site].output;
  const auto text = options_.json ? record_json(program, record, options_.rules)
                                  : record_text(program, record, outputs_.is_file(program, output),
                                                options_.rules);
  (void)outputs_.write(program, output, text);
  if (outputs_.closed()) wake_.notify_all();
}

void RunSession::print_map(Generation& generation, unsigned map, std::optional<std::uint64_t> top) {
  const auto& info = generation.program->maps[map];
  const auto lost = generation.maps->lost(map);
  if (lost != 0) complete_ = false;
  if (!options_.json) {
    (void)outputs_.write_line(
        map_words(info, generation.maps->snapshot(map), top, lost, options_.rules));
    return;
  }
  auto line = json_head("map", wall_now()) + ',';
  if (!append_map_json(line, info, generation.maps->snapshot(map), top, lost, options_.rules))
    line += ",\"escaped\":[\"entries\"]";
  (void)outputs_.write_line(line + "}\n");
}

void RunSession::records(Bytes bytes) {
  std::shared_ptr<const vmipl::Program> program;
  {
    const std::lock_guard lock(records_mutex_);
    program = records_program_;
  }
  if (program) take(std::move(program), bytes);
}

void RunSession::records_of(const vmipl::Program& whose, Bytes bytes) {
  std::shared_ptr<const vmipl::Program> program;
  {
    const std::lock_guard lock(records_mutex_);
    for (const auto& known : {records_program_, program_before_}) {
      if (known.get() == &whose) program = known;
    }
    // From the midst of a replacement: the session does not know the new one yet.
    if (!program) ++stale_records_;
  }
  if (program) take(std::move(program), bytes);
}

void RunSession::take(std::shared_ptr<const vmipl::Program> program, Bytes bytes) {
  auto record = decode(bytes);
  if (!record || record->head.site >= program->sites.size() ||
      record->head.probe >= program->probes.size()) {
    const std::lock_guard lock(records_mutex_);
    ++malformed_;
    return;
  }
  deliver(std::move(program), std::move(*record));
}

void RunSession::stream(std::uint32_t probe, Bytes bytes) {
  std::shared_ptr<const vmipl::Program> program;
  {
    const std::lock_guard lock(records_mutex_);
    program = records_program_;
  }
  if (!program || probe >= program->probes.size()) return;
  const auto output = program->probes[probe].output;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (outputs_.is_file(*program, output)) {
    (void)outputs_.write(*program, output, text);
    return;
  }
  // What a guest prints does not reach the terminal as it is.
  if (!options_.json) {
    std::string shown;
    for (std::string_view rest = text; !rest.empty();) {
      const auto end = std::min(rest.find('\n'), rest.size());
      shown += options_.rules.escape(rest.substr(0, end));
      if (end < rest.size()) shown += '\n';
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    (void)outputs_.write(*program, output, shown);
    return;
  }
  auto line = json_head("stream", wall_now());
  line += fmt::format(",\"probe\":{},\"event\":", probe + 1);
  (void)options_.rules.json(line, written(program->probes[probe]));
  line += fmt::format(",\"line\":{},\"output\":", program->probes[probe].line);
  (void)options_.rules.json(line, output_name(*program, output));
  line += ",\"text\":";
  if (!options_.rules.json(line, text)) line += ",\"escaped\":[\"text\"]";
  (void)outputs_.write(*program, output, line + "}\n");
}

void RunSession::note(SourceNote note) {
  remark("! " + note.text);
  if (note.kind == SourceNote::source_ended || note.kind == SourceNote::guest_reset) {
    ended_ = true;
    wake_.notify_all();
  }
}

// The maps, and what was counted.
void RunSession::finish(Generation& generation) {
  const auto& program = *generation.program;
  for (unsigned i = 0; i < program.maps.size(); ++i) print_map(generation, i, std::nullopt);
  std::vector<std::string> words;
  for (std::size_t i = 0; i < program.probes.size(); ++i) {
    const auto& count = generation.counts[i];
    if (count.over_budget != 0)
      words.push_back(fmt::format("line {}: {} ran out of its budget in {} of {} firings",
                                  program.probes[i].line, written(program.probes[i]),
                                  count.over_budget, count.fired));
  }
  std::vector<std::string> asides;  // of sources that lost nothing
  std::uint64_t malformed = 0, delivered = 0, stale = 0;
  {
    const std::lock_guard lock(records_mutex_);
    malformed = malformed_;
    delivered = delivered_;
    stale = stale_records_;
  }
  std::uint64_t lost_records = malformed + stale, lost_firings = stale_;
  if (malformed != 0)
    words.push_back(
        fmt::format("{} records were none: what sent them is broken, or forged", malformed));
  if (stale != 0) words.push_back(fmt::format("{} records came of no program that runs", stale));
  if (stale_ != 0)
    words.push_back(fmt::format("{} firings came after their script was replaced", stale_));
  for (auto* source : started_) {
    const auto losses = source->losses();
    lost_records += losses.records;
    lost_firings += losses.firings;
    const bool lost = losses.records + losses.firings != 0;
    for (const auto& said : losses.words) {
      auto whole =
          said.starts_with(source->name()) ? said : fmt::format("{}: {}", source->name(), said);
      (lost ? words : asides).push_back(std::move(whole));
    }
    if (losses.words.empty() && losses.records + losses.firings != 0)
      words.push_back(fmt::format("{}: {} records and {} firings were lost", source->name(),
                                  losses.records, losses.firings));
  }
  const auto output_losses = outputs_.losses();
  for (const auto& loss : output_losses)
    words.push_back(fmt::format("{}: {} record{} lost: {}", loss.output, loss.records,
                                loss.records == 1 ? "" : "s", loss.reason));
  for (const auto& [failure, times] : failures_) {
    if (times > 1) words.push_back(fmt::format("{} ({} times)", failure, times));
  }
  const auto& views = generation.environment->views();
  for (const auto& said : views.words) words.push_back(said);
  if (views.doubtful + views.dropped != 0)
    words.push_back(fmt::format("views: {} doubtful rows, {} that could not be read",
                                views.doubtful, views.dropped));
  if (!words.empty()) complete_ = false;
  if (!options_.json) {
    std::string fired;
    for (std::size_t i = 0; i < program.probes.size(); ++i) {
      if (by_the_clock(program.probes[i]) &&
          (vmipl::probes()[program.probes[i].probe].name == "Start" ||
           vmipl::probes()[program.probes[i].probe].name == "Stop"))
        continue;
      if (generation.counts[i].fired == 0) continue;
      fired += fmt::format("{}{} (line {}) {}", fired.empty() ? "fired: " : ", ",
                           written(program.probes[i]), program.probes[i].line,
                           generation.counts[i].fired);
    }
    if (!fired.empty()) outputs_.remark(fired);
    for (const auto& said : asides) outputs_.remark(said);
    for (const auto& said : words) outputs_.remark("! " + said);
    return;
  }
  auto line = json_head("end", wall_now());
  line += fmt::format(
      ",\"seconds\":{:.3f},\"records\":{},\"lost_records\":{},\"lost_firings\":{},\"probes\":[",
      static_cast<double>(monotonic_now() - started_ns_) / 1e9, delivered, lost_records,
      lost_firings);
  for (std::size_t i = 0; i < program.probes.size(); ++i) {
    line += fmt::format("{}{{\"probe\":{},\"event\":", i == 0 ? "" : ",", i + 1);
    (void)options_.rules.json(line, written(program.probes[i]));
    line += fmt::format(",\"line\":{},\"fired\":{},\"over_budget\":{}}}", program.probes[i].line,
                        generation.counts[i].fired, generation.counts[i].over_budget);
  }
  line += "],\"outputs\":[";
  for (std::size_t i = 0; i < output_losses.size(); ++i) {
    line += i == 0 ? "{\"output\":" : ",{\"output\":";
    (void)options_.rules.json(line, output_losses[i].output);
    line += fmt::format(",\"lost\":{},\"reason\":", output_losses[i].records);
    (void)options_.rules.json(line, output_losses[i].reason);
    line += '}';
  }
  line += "],\"words\":[";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) line += ',';
    (void)options_.rules.json(line, words[i]);
  }
  for (std::size_t i = 0; i < asides.size(); ++i) {
    if (i + words.size() != 0) line += ',';
    (void)options_.rules.json(line, asides[i]);
  }
  (void)outputs_.write_line(line + "]}\n");
}

}  // namespace vitrine::probe
