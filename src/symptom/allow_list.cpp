#include "symptom/allow_list.h"

#include <fmt/format.h>

namespace vitrine::symptom {
namespace {

/// The one row of the view `findings`.
ViewRows as_row(const Finding& finding) {
  std::vector<std::string> evidence;
  for (const auto& [column, value] : finding.evidence) evidence.push_back(column + "=" + value);
  ViewRows rows;
  rows.rows.push_back(
      {linux::Value(finding.symptom), linux::Value(std::string(name(finding.severity))),
       linux::Value(finding.technique), linux::Value(finding.message),
       finding.pid ? linux::Value(*finding.pid) : linux::Value(), linux::Value(finding.process),
       linux::Value(finding.symbols), linux::Value(std::move(evidence))});
  rows.doubtful.push_back(false);
  return rows;
}

}  // namespace

Outcome<void> AllowList::add(const std::string& expression, const vmipl::Ports& ports) {
  const vmipl::Source source(
      "--allow",
      fmt::format(
          // In a line of its own: what is told of it then shows it alone.
          "Every(1s) {{ for (finding in findings) if (\n{}\n) Report(\"allowed\", info, \"\") }}",
          expression));
  auto predicate = RuleScript::compile(source, {.ports = ports, .allow = {"unused-row"}}, views_,
                                       [this](const Finding&) { holds_ = true; });
  if (!predicate || (*predicate)->program().probes.size() != 1) {
    std::string words;
    if (!predicate)
      for (const auto& mistake : predicate.error()) words += mistake;
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("{} is no predicate over a finding", expression),
                words + "as in: finding.symptom == \"reverse_shell\" && finding.process == "
                        "\"socat\""));
  }
  predicates_.push_back(*std::move(predicate));
  return {};
}

bool AllowList::allows(const Finding& finding) {
  if (predicates_.empty()) return false;
  views_.begin({});
  views_.put(kFindingsView, as_row(finding));
  holds_ = false;
  for (const auto& predicate : predicates_) {
    (void)predicate->fire(0, finding.last_seen);
    if (holds_) return true;
  }
  return false;
}

}  // namespace vitrine::symptom
