#include "symptom/engine.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "linux/kernel.h"
#include "linux/start_state.h"
#include "probe/interpreter.h"
#include "probe/kernel_ports.h"
#include "probe/maps.h"
#include "symptom/patterns/pattern_scanner.h"
#include "symptom/patterns/pattern_set.h"
#include "symptom/rule_environment.h"
#include "symptom/view_cache.h"
#include "vmipl/catalogue.h"
#include "vmipl/check.h"
#include "vmipl/render.h"

namespace vitrine::symptom {
namespace {

using Clock = std::chrono::steady_clock;

/// One firing's instructions: what no rule that ends comes near to.
constexpr std::uint64_t kBudget = 50'000'000;
/// How often memory is searched for patterns.
constexpr std::chrono::seconds kPatternPeriod{10};
constexpr probe::MapLimits kMapLimits{.entries = 4096, .text_bytes = 1U << 20};

std::int64_t wall_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// A compiled file of the pack.
struct Script {
  std::string file;
  vmipl::Program program;
  std::unique_ptr<probe::LocalMaps> maps;
  std::unique_ptr<probe::Interpreter> interpreter;
  std::unique_ptr<RuleEnvironment> environment;
};

/// A probe of a symptom that runs by the host's clock.
struct Task {
  Script* script = nullptr;
  unsigned probe = 0;
  std::size_t symptom = 0;  ///< in states_
  std::chrono::nanoseconds period{};
  Clock::time_point due{};
  bool once = false, done = false;
};

std::string describe_needs(std::string_view probe) {
  return fmt::format("it waits for {}: an event of the guest, which only `vitrine run` delivers",
                     probe);
}

class PackEngine final : public Engine {
 public:
  PackEngine(const linux::Kernel& kernel, EngineOptions options, std::vector<std::string> required)
      : options_(std::move(options)),
        views_(kernel, std::move(required)),
        ports_(kernel),
        judge_views_(kernel, {}) {}

  Outcome<void> load(const Pack& pack) {
    for (const auto& problem : pack.problems())
      problems_.push_back(problem.hint.empty() ? problem.message
                                               : problem.message + "\n  " + problem.hint);
    for (const auto& file : pack.files())
      if (file.kind == PackFile::Kind::symptoms) load_script(file);
    if (options_.patterns) load_patterns(pack);
    for (const auto& expression : options_.allow) TRY(load_allowed(expression));
    return {};
  }

  PassReport pass(const PassScope& scope) override {
    PassReport report;
    const auto start = Clock::now();
    const auto now = wall_clock();
    if (linux::is_starting(views_.kernel())) {
      report.known = known_.size();
      report.notes.emplace_back(
          "the kernel is still starting, and its text is not what it will be: nothing was looked "
          "at");
      return report;
    }
    const auto stood = known_;
    views_.begin(scope.pids);
    std::map<std::size_t, bool> looked;  // symptom: all of it, and wholly
    bool late = false;
    std::size_t first_late = 0;
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      const auto index = (next_first_ + i) % tasks_.size();
      auto& task = tasks_[index];
      if (task.done || (!scope.all && scope.pids.empty() && task.due > start)) continue;
      // One at least each pass, however slow the machine: none starves.
      if (!late && report.symptoms_run > 0 && Clock::now() - start > options_.pass_limit) {
        late = true;
        first_late = index;
      }
      if (late) {
        looked[task.symptom] = false;
        continue;
      }
      run(task, now, report, looked);
    }
    const bool patterns_due = patterns_ != nullptr && scope.patterns && scope.pids.empty() &&
                              (scope.all || patterns_due_ <= start);
    if (patterns_due && !late) {
      run_patterns(now, report, looked);
      patterns_due_ = start + kPatternPeriod;
    }
    if (late) {
      next_first_ = first_late;
      report.notes.push_back(
          fmt::format("the pass took its {} ms: {} and those after it are first in the next",
                      options_.pass_limit.count(), states_[tasks_[first_late].symptom].name));
    }
    settle(report, looked, scope, now);
    // A machine that ended or rebooted meanwhile shows half of one kernel and half of none.
    if (!views_.kernel().still_there()) {
      known_ = stood;
      report.fresh.clear();
      report.gone.clear();
      report.notes.emplace_back(
          "the machine ended, or its kernel is another one, while it was looked at: nothing of "
          "that "
          "pass is told");
    }
    for (const auto& note : notes_) report.notes.push_back(note);
    notes_.clear();
    views_.begin({});
    report.known = known_.size();
    report.took = Clock::now() - start;
    return report;
  }

  std::chrono::nanoseconds next_due() const override {
    const auto now = Clock::now();
    std::chrono::nanoseconds least = std::chrono::hours(1);
    for (const auto& task : tasks_)
      if (!task.done)
        least = std::min<std::chrono::nanoseconds>(
            least, std::max<std::chrono::nanoseconds>(task.due - now, std::chrono::nanoseconds(0)));
    if (patterns_ != nullptr)
      least = std::min<std::chrono::nanoseconds>(
          least,
          std::max<std::chrono::nanoseconds>(patterns_due_ - now, std::chrono::nanoseconds(0)));
    return least;
  }

  std::vector<Finding> findings() const override {
    std::vector<Finding> all;
    for (const auto& [identity, known] : known_) all.push_back(known.finding);
    std::ranges::stable_sort(all, [](const Finding& a, const Finding& b) {
      return a.severity != b.severity ? a.severity > b.severity : a.first_seen < b.first_seen;
    });
    return all;
  }
  std::vector<SymptomState> symptoms() const override { return states_; }
  const std::vector<std::string>& problems() const override { return problems_; }
  [[nodiscard]] bool anything() const { return !states_.empty(); }

 private:
  [[nodiscard]] vmipl::Ports ports() const {
    auto ports = ports_.ports();
    ports.views = &rule_views_;
    return ports;
  }

  void load_script(const PackFile& file) {
    const vmipl::Source source(file.name, file.text);
    vmipl::Diagnostics diagnostics;
    vmipl::CheckOptions options{.ports = ports(), .build = true};
    auto checked = vmipl::check(source, options, diagnostics);
    if (diagnostics.errors() > 0 || !checked.program) {
      problems_.push_back(vmipl::render_text(source, diagnostics));
      return;
    }
    auto script = std::make_unique<Script>();
    script->file = file.name.substr(file.name.rfind('/') + 1);
    script->program = *std::move(checked.program);
    std::vector<std::string> unbound;
    if (!vmipl::bind(script->program, ports(), unbound)) {
      for (auto& problem : unbound) problems_.push_back(fmt::format("{}: {}", file.name, problem));
      return;
    }
    for (const auto& site : script->program.sites) {
      const auto name = vmipl::probes()[site.probe].name;
      if (name == "Report" || site.is_map_print) continue;
      problems_.push_back(fmt::format(
          "{}:{}: {} does nothing in a pack of symptoms: rules report, and a guard's policy acts",
          file.name, site.line, name));
    }
    auto maps = probe::LocalMaps::create(script->program.maps, kMapLimits);
    if (!maps) {
      problems_.push_back(fmt::format("{}: {}", file.name, maps.error().message));
      return;
    }
    script->maps = *std::move(maps);
    script->interpreter = std::make_unique<probe::Interpreter>(script->program, *script->maps);
    script->environment = std::make_unique<RuleEnvironment>(
        script->program, script->file, views_,
        [this](Finding finding) { reported_.push_back(std::move(finding)); });
    add_tasks(*script);
    scripts_.push_back(std::move(script));
  }

  void load_patterns(const Pack& pack) {
    const auto set = options_.compiled != nullptr ? *options_.compiled : PatternSet::compile(pack);
    problems_.insert(problems_.end(), set.problems.begin(), set.problems.end());
    rules_ = set.rules;
    if (rules_ == nullptr) return;
    patterns_ = std::make_unique<PatternScanner>(views_.kernel(), *rules_);
    states_.push_back({.name = "patterns",
                       .technique = "",
                       .summary = fmt::format("{} YARA rules over memory", rules_->size()),
                       .rule = set.first.substr(set.first.rfind('/') + 1),
                       .runs = true,
                       .why = {},
                       .period = kPatternPeriod});
    pattern_state_ = states_.size() - 1;
  }

  /// What a rule hits in a process is that process's; what it hits nowhere else is the kernel's or
  /// nobody's any more.
  void run_patterns(std::int64_t now, PassReport& report, std::map<std::size_t, bool>& looked) {
    const auto before = Clock::now();
    PatternTally tally;
    auto memory = patterns_->scan_memory(tally);
    if (!memory) {
      notes_.push_back(fmt::format("patterns: {}", memory.error().message));
      return;
    }
    std::map<std::string, std::size_t> in_processes;
    for (const auto& owned : patterns_->scan_processes(tally)) {
      for (const auto& hit : owned.hits) {
        ++in_processes[hit.rule];
        take(pattern_finding(hit, owned.pid, owned.process), pattern_state_, now, report);
      }
    }
    for (const auto& hit : *memory)
      if (!in_processes.contains(hit.rule))
        take(pattern_finding(hit, std::nullopt, {}), pattern_state_, now, report);
    for (auto& note : tally.notes) notes_.push_back(std::move(note));
    looked[pattern_state_] = tally.notes.empty();
    states_[pattern_state_].last_took = Clock::now() - before;
    ++report.symptoms_run;
  }

  Finding pattern_finding(const PatternHit& hit, std::optional<std::int64_t> pid,
                          const std::string& process) {
    Finding finding;
    finding.symptom = fmt::format("pattern_{}", hit.rule);
    finding.severity = hit.severity;
    finding.technique = hit.technique.substr(0, Finding::kMaxText);
    finding.summary = hit.summary.empty() ? "memory matches a YARA rule"
                                          : hit.summary.substr(0, Finding::kMaxText);
    finding.rule = hit.rule;
    finding.pid = pid;
    finding.process = process;
    for (const auto& match : hit.matches) {
      if (finding.addresses.size() == Finding::kMaxItems) break;
      finding.addresses.push_back(match.offset);
      if (finding.bytes.empty()) finding.bytes = match.bytes;
      if (finding.evidence.size() + 1 < Finding::kMaxItems)
        finding.evidence.emplace_back(
            match.string, fmt::format("{:#x}{}", match.offset,
                                      pid ? mapping_of(*pid, match.offset) : " (physical)"));
    }
    finding.message =
        pid ? fmt::format("{} (pid {}): {} matches", process, *pid, hit.match_count)
            : fmt::format("the kernel's memory or nobody's: {} matches", hit.match_count);
    const auto key = fmt::format("{}\n{}", finding.symptom, pid.value_or(-1));
    finding.identity = XXH3_64bits(key.data(), key.size());
    return finding;
  }

  /// " in /usr/sbin/nginx r-xp"
  [[nodiscard]] std::string mapping_of(std::int64_t pid, std::uint64_t address) {
    const auto& maps = views_.read("maps");
    if (maps.info == nullptr) return {};
    std::map<std::string_view, std::size_t> at;
    for (std::size_t i = 0; i < maps.info->columns.size(); ++i) at[maps.info->columns[i].name] = i;
    for (const auto& row : maps.rows) {
      const auto* owner = std::get_if<std::int64_t>(&row[at["pid"]]);
      const auto* start = std::get_if<std::uint64_t>(&row[at["start"]]);
      const auto* end = std::get_if<std::uint64_t>(&row[at["end"]]);
      if (owner == nullptr || start == nullptr || end == nullptr || *owner != pid ||
          address < *start || address >= *end)
        continue;
      const auto text = [&](std::string_view column) {
        return evidence_text(row[at[column]], linux::ColumnType::text);
      };
      const auto path = text("path");
      return fmt::format(" in {} {}", path.empty() ? "anonymous memory" : path,
                         text("permissions"));
    }
    return {};
  }

  void add_tasks(Script& script) {
    const auto& program = script.program;
    for (const auto& symptom : program.symptoms) {
      if (std::ranges::any_of(
              states_, [&](const SymptomState& state) { return state.name == symptom.name; })) {
        problems_.push_back(
            fmt::format("{}: there is a symptom {} already; both run", script.file, symptom.name));
      }
      SymptomState state{.name = symptom.name,
                         .technique = symptom.technique,
                         .summary = symptom.text,
                         .severity = static_cast<Severity>(std::min<int>(symptom.severity, 4)),
                         .why = "it has no probe"};
      const auto place = states_.size();
      for (unsigned i = 0; i < program.probes.size(); ++i) {
        const auto& probe = program.probes[i];
        if (probe.symptom != symptom.name) continue;
        if (state.rule.empty()) state.rule = fmt::format("{}:{}", script.file, probe.line);
        const auto name = vmipl::probes()[probe.probe].name;
        if (name != "Every" && name != "Start") {
          state.why = describe_needs(name);
          continue;
        }
        Task task{.script = &script, .probe = i, .symptom = place, .once = name == "Start"};
        if (!task.once)
          task.period = std::chrono::nanoseconds(
              probe.arguments.empty()
                  ? 0
                  : std::min<std::uint64_t>(probe.arguments[0].number_value, INT64_MAX));
        if (auto why = refusal(program, probe)) {
          state.why = *why;
          continue;
        }
        state.runs = true;
        state.why.clear();
        state.period = task.period;
        tasks_.push_back(task);
      }
      states_.push_back(std::move(state));
    }
  }

  /// The first view that the probe uses and this kernel does not give.
  std::optional<std::string> refusal(const vmipl::Program& program,
                                     const vmipl::ProgramProbe& probe) {
    for (auto at = probe.entry; at < probe.end && at < program.code.size(); ++at) {
      if (program.code[at].op != vmipl::Opcode::view_open) continue;
      const auto use = static_cast<std::size_t>(program.code[at].imm);
      if (use >= program.views.size()) continue;
      if (auto why = views_.refuses(program.views[use].view))
        return fmt::format("its view `{}` cannot be had: {}", program.views[use].view, *why);
    }
    return std::nullopt;
  }

  void run(Task& task, std::int64_t now, PassReport& report, std::map<std::size_t, bool>& looked) {
    const auto before = Clock::now();
    auto& environment = *task.script->environment;
    environment.begin(task.probe, now);
    reported_.clear();
    const auto firing = task.script->interpreter->run(task.probe, environment, kBudget);
    auto& state = states_[task.symptom];
    bool whole = environment.complete();
    if (firing.end == probe::Firing::End::over_budget) {
      whole = false;
      notes_.push_back(fmt::format("{}: over its budget of {} steps, ended", state.name, kBudget));
    }
    for (const auto& use : task.script->program.views)
      for (const auto& note : views_.read(use.view).notes)
        if (std::ranges::find(notes_, note) == notes_.end()) notes_.push_back(note);
    const auto entry = looked.try_emplace(task.symptom, true).first;
    entry->second = entry->second && whole;
    for (auto& finding : reported_) take(std::move(finding), task.symptom, now, report);
    reported_.clear();
    const auto after = Clock::now();
    state.last_took = after - before;
    task.due = before + task.period;
    task.done = task.once;
    ++report.symptoms_run;
  }

  /// @param symptom  which of states_ tells it
  void take(Finding finding, std::size_t symptom, std::int64_t now, PassReport& report) {
    finding.first_seen = finding.last_seen = now;
    if (finding.pid && finding.process.empty()) finding.process = process_name(*finding.pid);
    if (allowed(finding)) {
      ++report.allowed;
      return;
    }
    const auto known = known_.find(finding.identity);
    if (known != known_.end()) {
      auto& old = known->second.finding;
      known->second.symptom = symptom;
      if (old.last_seen != now) ++old.times;
      finding.first_seen = old.first_seen;
      finding.times = old.times;
      old = std::move(finding);
      return;
    }
    if (known_.size() >= options_.max_findings) {
      ++report.dropped;
      return;
    }
    report.fresh.push_back(finding);
    const auto identity = finding.identity;
    known_.emplace(identity, Known{std::move(finding), symptom});
  }

  [[nodiscard]] std::string process_name(std::int64_t pid) {
    const auto& processes = views_.read("processes");
    if (processes.info == nullptr) return {};
    std::size_t pid_at = 0, name_at = 0;
    for (std::size_t i = 0; i < processes.info->columns.size(); ++i) {
      if (processes.info->columns[i].name == "pid") pid_at = i;
      if (processes.info->columns[i].name == "name") name_at = i;
    }
    for (const auto& row : processes.rows) {
      const auto* number = std::get_if<std::int64_t>(&row[pid_at]);
      const auto* text = std::get_if<std::string>(&row[name_at]);
      if (number != nullptr && text != nullptr && *number == pid) return *text;
    }
    return {};
  }

  /// What was looked for, wholly, and not seen is gone.
  void settle(PassReport& report, const std::map<std::size_t, bool>& looked, const PassScope& scope,
              std::int64_t now) {
    if (report.dropped > 0)
      notes_.push_back(
          fmt::format("{} findings beyond {} were dropped", report.dropped, options_.max_findings));
    if (!scope.pids.empty()) return;  // of some processes alone: the rest was not looked for
    for (auto entry = known_.begin(); entry != known_.end();) {
      const auto& [finding, symptom] = entry->second;
      const auto search = looked.find(symptom);
      if (search == looked.end() || !search->second || finding.last_seen == now) {
        ++entry;
        continue;
      }
      report.gone.push_back(finding);
      entry = known_.erase(entry);
    }
  }

  Outcome<void> load_allowed(const std::string& expression) {
    const vmipl::Source source(
        "--allow",
        fmt::format(
            // In a line of its own: what is told of it then shows it alone.
            "Every(1s) {{ for (finding in findings) if (\n{}\n) Report(\"allowed\", info, \"\") }}",
            expression));
    vmipl::Diagnostics diagnostics;
    vmipl::CheckOptions options{.ports = ports(), .allow = {"unused-row"}, .build = true};
    auto checked = vmipl::check(source, options, diagnostics);
    if (diagnostics.errors() > 0 || !checked.program || checked.program->probes.size() != 1) {
      return std::unexpected(Problem(
          Errc::invalid, fmt::format("{} is no predicate over a finding", expression),
          vmipl::render_text(source, diagnostics) +
              "as in: finding.symptom == \"reverse_shell\" && finding.process == \"socat\""));
    }
    auto script = std::make_unique<Script>();
    script->program = *std::move(checked.program);
    std::vector<std::string> unbound;
    if (!vmipl::bind(script->program, ports(), unbound))
      return std::unexpected(
          Problem(Errc::invalid, unbound.empty() ? expression : unbound.front()));
    script->maps = TRY(probe::LocalMaps::create(script->program.maps, kMapLimits));
    script->interpreter = std::make_unique<probe::Interpreter>(script->program, *script->maps);
    script->environment = std::make_unique<RuleEnvironment>(
        script->program, "--allow", judge_views_, [this](Finding) { judged_ = true; });
    allowed_.push_back(std::move(script));
    return {};
  }

  bool allowed(const Finding& finding) {
    if (allowed_.empty()) return false;
    std::vector<std::string> evidence;
    for (const auto& [column, value] : finding.evidence) evidence.push_back(column + "=" + value);
    ViewRows rows;
    rows.rows.push_back(
        {linux::Value(finding.symptom), linux::Value(std::string(name(finding.severity))),
         linux::Value(finding.technique), linux::Value(finding.message),
         finding.pid ? linux::Value(*finding.pid) : linux::Value(), linux::Value(finding.process),
         linux::Value(finding.symbols), linux::Value(std::move(evidence))});
    rows.doubtful.push_back(false);
    judge_views_.begin({});
    judge_views_.put(kFindingsView, std::move(rows));
    judged_ = false;
    for (const auto& script : allowed_) {
      script->environment->begin(0, finding.last_seen);
      (void)script->interpreter->run(0, *script->environment, kBudget);
      if (judged_) return true;
    }
    return false;
  }

  EngineOptions options_;
  ViewCache views_;
  probe::KernelPorts ports_;
  RuleViews rule_views_;
  ViewCache judge_views_;
  std::vector<std::unique_ptr<Script>> scripts_, allowed_;
  std::vector<Task> tasks_;
  std::vector<SymptomState> states_;
  std::vector<std::string> problems_, notes_;
  struct Known {
    Finding finding;
    std::size_t symptom;  ///< in states_: who told it, and tells that it is gone
  };
  std::map<std::uint64_t, Known> known_;
  std::vector<Finding> reported_;
  std::size_t next_first_ = 0;
  bool judged_ = false;
  std::shared_ptr<PatternRules> rules_;
  std::unique_ptr<PatternScanner> patterns_;
  std::size_t pattern_state_ = 0;
  Clock::time_point patterns_due_{};
};

}  // namespace

Outcome<std::unique_ptr<Engine>> Engine::create(const linux::Kernel& kernel, const Pack& pack,
                                                EngineOptions options) {
  std::vector<std::string> required;
  for (const auto& file : pack.files()) {
    if (file.kind != PackFile::Kind::required) continue;
    std::istringstream lines(file.text);
    for (std::string line; std::getline(lines, line);) {
      const auto first = line.find_first_not_of(" \t\r");
      if (first == std::string::npos || line[first] == '#') continue;
      required.push_back(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
    }
  }
  auto engine = std::make_unique<PackEngine>(kernel, std::move(options), std::move(required));
  TRY(engine->load(pack));
  if (!engine->anything()) {
    std::string all;
    for (const auto& problem : engine->problems()) all += problem + "\n";
    return std::unexpected(
        Problem(Errc::invalid, "the pack has no symptom that could be looked for", all));
  }
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace vitrine::symptom
