// AllowList: predicates over a finding; one that any of them holds for is not told.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/problem.h"
#include "symptom/finding.h"
#include "symptom/rule_script.h"
#include "symptom/view_cache.h"

namespace vitrine::symptom {

/// Threads: one at a time.
class AllowList {
 public:
  /// `kernel` must outlive this.
  explicit AllowList(const linux::Kernel& kernel) : views_(kernel, {}) {}

  /// @param expression  as in `finding.symptom == "reverse_shell" && finding.process == "socat"`
  /// @returns invalid  it is no predicate over a finding; the hint has the language's words
  [[nodiscard]] Outcome<void> add(const std::string& expression, const vmipl::Ports& ports);

  [[nodiscard]] bool allows(const Finding& finding);

 private:
  ViewCache views_;  ///< holds the one finding that is judged
  std::vector<std::unique_ptr<RuleScript>> predicates_;
  bool holds_ = false;  ///< said by the predicate that runs
};

}  // namespace vitrine::symptom
