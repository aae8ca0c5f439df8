// Engine: a pack of symptoms, compiled for one kernel, run against it again and again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/problem.h"
#include "symptom/finding.h"
#include "symptom/pack.h"

namespace vitrine::linux {
class Kernel;
}

namespace vitrine::symptom {

struct PatternSet;

struct EngineOptions {
  /// A finding is dropped where one of these holds: predicates over a finding's parts, as in
  /// `symptom == "reverse_shell" && process == "socat"` (docs/symptoms.md).
  std::vector<std::string> allow;
  bool patterns = true;  ///< run the YARA rules, too
  /// The pack's, compiled before (PatternSet::compile()); null: they are compiled with the rest.
  std::shared_ptr<const PatternSet> compiled = nullptr;
  /// Called before each file that is compiled and each rule that runs, at each finding, and each
  /// few milliseconds while a rule reads nothing of the guest: whoever is watched himself says
  /// that he lives.
  std::function<void()> turn = [] {};
  std::size_t max_findings = 4096;  ///< known at once; more are counted and told
  /// What one pass may take. What was not looked at is told, and is first in the next pass.
  std::chrono::milliseconds pass_limit{10'000};
};

/// What a pass looks at.
struct PassScope {
  bool all = false;                ///< every symptom; else those whose Every() is due
  bool patterns = true;            ///< and YARA's rules, if these are due or it is all
  std::vector<std::int64_t> pids;  ///< what an event touched: these processes first, due or not
};

struct PassReport {
  std::vector<Finding> fresh;  ///< not known before
  std::vector<Finding> gone;   ///< known before; looked for, and no longer there
  std::size_t known = 0;       ///< findings that stand after this pass, these included
  std::size_t allowed = 0;     ///< dropped by the allow-list
  std::size_t dropped = 0;     ///< beyond max_findings
  std::size_t symptoms_run = 0;
  /// A sentence each: a bound that was met, a view that could not be read, a firing over its
  /// budget.
  std::vector<std::string> notes;
  std::chrono::nanoseconds took{};
};

/// Threads: one at a time. The guest is neither paused nor written by anything here.
class Engine {
 public:
  /// Compiles the pack for `kernel` (which must outlive the engine). A rule with a mistake is told
  /// in problems(), and the rest is there.
  /// @returns invalid  an allow-list that is no predicate; nothing at all that could be run
  [[nodiscard]] static Outcome<std::unique_ptr<Engine>> create(const linux::Kernel& kernel,
                                                               const Pack& pack,
                                                               EngineOptions options);
  virtual ~Engine() = default;

  /// Looks once. The caller has refreshed the kernel (Kernel::refresh()) if it wants to see what
  /// changed. Of a machine that ended or rebooted during the pass nothing is fresh and nothing
  /// gone; a note says so. Cost: docs/evaluation.md; bounded by EngineOptions::pass_limit and by
  /// what each view reads.
  [[nodiscard]] virtual PassReport pass(const PassScope& scope) = 0;
  /// When the next symptom is due, from now; zero: at once.
  [[nodiscard]] virtual std::chrono::nanoseconds next_due() const = 0;

  /// All that stands, the severest first.
  [[nodiscard]] virtual std::vector<Finding> findings() const = 0;

  struct SymptomState {
    std::string name, technique, summary, rule;
    Severity severity = Severity::medium;
    bool runs = false;  ///< false: see why
    std::string why;    ///< "its view `hooks` cannot be had: ...", "needs an event source: ..."
    std::chrono::nanoseconds period{}, last_took{};
  };
  [[nodiscard]] virtual std::vector<SymptomState> symptoms() const = 0;

  /// Mistakes of rules, as the language tells them (several lines each), and of YARA's.
  [[nodiscard]] virtual const std::vector<std::string>& problems() const = 0;
};

}  // namespace vitrine::symptom
