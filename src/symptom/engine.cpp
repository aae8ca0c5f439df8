#include "symptom/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "linux/kernel.h"
#include "linux/start_state.h"
#include "probe/kernel_ports.h"
#include "symptom/allow_list.h"
#include "symptom/known_findings.h"
#include "symptom/patterns/pattern_finding.h"
#include "symptom/patterns/pattern_scanner.h"
#include "symptom/patterns/pattern_set.h"
#include "symptom/rule_script.h"
#include "symptom/view_cache.h"
#include "vmipl/catalogue.h"

namespace vitrine::symptom {
namespace {

using Clock = std::chrono::steady_clock;

/// How often memory is searched for patterns.
constexpr std::chrono::seconds kPatternPeriod{10};

std::int64_t wall_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// A probe of a symptom that runs by the host's clock.
struct Task {
  RuleScript* script = nullptr;
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
        allowed_(kernel),
        known_(options_.max_findings) {}

  Outcome<void> load(const Pack& pack) {
    for (const auto& problem : pack.problems())
      problems_.push_back(problem.hint.empty() ? problem.message
                                               : problem.message + "\n  " + problem.hint);
    for (const auto& file : pack.files()) {
      options_.turn();
      if (file.kind == PackFile::Kind::symptoms) load_script(file);
    }
    if (options_.patterns) load_patterns(pack);
    for (const auto& expression : options_.allow) TRY(allowed_.add(expression, ports()));
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

  std::vector<Finding> findings() const override { return known_.all(); }
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
    auto compiled = RuleScript::compile(
        source, {.ports = ports()}, views_,
        [this](Finding finding) { reported_.push_back(std::move(finding)); }, options_.turn);
    if (!compiled) {
      for (auto& mistake : compiled.error()) problems_.push_back(std::move(mistake));
      return;
    }
    auto script = *std::move(compiled);
    for (const auto& site : script->program().sites) {
      const auto name = vmipl::probes()[site.probe].name;
      if (name == "Report" || site.is_map_print) continue;
      problems_.push_back(fmt::format(
          "{}:{}: {} does nothing in a pack of symptoms: rules report, and a guard's policy acts",
          file.name, site.line, name));
    }
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
        take(pattern_finding(hit, owned.pid, owned.process, views_), pattern_state_, now, report);
      }
    }
    for (const auto& hit : *memory)
      if (!in_processes.contains(hit.rule))
        take(pattern_finding(hit, std::nullopt, {}, views_), pattern_state_, now, report);
    for (auto& note : tally.notes) notes_.push_back(std::move(note));
    looked[pattern_state_] = tally.notes.empty();
    states_[pattern_state_].last_took = Clock::now() - before;
    ++report.symptoms_run;
  }

  void add_tasks(RuleScript& script) {
    const auto& program = script.program();
    for (const auto& symptom : program.symptoms) {
      if (std::ranges::any_of(
              states_, [&](const SymptomState& state) { return state.name == symptom.name; })) {
        problems_.push_back(fmt::format("{}: there is a symptom {} already; both run",
                                        script.file(), symptom.name));
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
        if (state.rule.empty()) state.rule = fmt::format("{}:{}", script.file(), probe.line);
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
    options_.turn();
    const auto before = Clock::now();
    reported_.clear();
    const auto fired = task.script->fire(task.probe, now);
    auto& state = states_[task.symptom];
    if (fired.over_budget)
      notes_.push_back(
          fmt::format("{}: over its budget of {} steps, ended", state.name, RuleScript::kBudget));
    for (const auto& use : task.script->program().views)
      for (const auto& note : views_.read(use.view).notes)
        if (std::ranges::find(notes_, note) == notes_.end()) notes_.push_back(note);
    const auto entry = looked.try_emplace(task.symptom, true).first;
    entry->second = entry->second && fired.complete;
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
    if (finding.pid && finding.process.empty()) finding.process = views_.process_name(*finding.pid);
    if (allowed_.allows(finding)) {
      ++report.allowed;
      return;
    }
    switch (known_.see(finding, symptom, now)) {
      case KnownFindings::Seen::fresh:
        report.fresh.push_back(std::move(finding));
        break;
      case KnownFindings::Seen::again:
        break;
      case KnownFindings::Seen::dropped:
        ++report.dropped;
        break;
    }
  }

  /// What was looked for, wholly, and not seen is gone.
  void settle(PassReport& report, const std::map<std::size_t, bool>& looked, const PassScope& scope,
              std::int64_t now) {
    if (report.dropped > 0)
      notes_.push_back(
          fmt::format("{} findings beyond {} were dropped", report.dropped, options_.max_findings));
    if (!scope.pids.empty()) return;  // of some processes alone: the rest was not looked for
    report.gone = known_.settle(now, [&](std::size_t symptom) {
      const auto search = looked.find(symptom);
      return search != looked.end() && search->second;
    });
  }

  EngineOptions options_;
  ViewCache views_;
  probe::KernelPorts ports_;
  RuleViews rule_views_;
  std::vector<std::unique_ptr<RuleScript>> scripts_;
  AllowList allowed_;
  std::vector<Task> tasks_;
  std::vector<SymptomState> states_;
  std::vector<std::string> problems_, notes_;
  KnownFindings known_;
  std::vector<Finding> reported_;
  std::size_t next_first_ = 0;
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
