#include "symptom/known_findings.h"

#include <algorithm>

namespace vitrine::symptom {

KnownFindings::Seen KnownFindings::see(Finding finding, std::size_t symptom, std::int64_t now) {
  finding.first_seen = finding.last_seen = now;
  const auto known = known_.find(finding.identity);
  if (known == known_.end()) {
    if (known_.size() >= most_) return Seen::dropped;
    const auto identity = finding.identity;
    known_.emplace(identity, Known{std::move(finding), symptom});
    return Seen::fresh;
  }
  auto& [old, teller] = known->second;
  teller = symptom;
  finding.first_seen = old.first_seen;
  finding.times = old.times + (old.last_seen != now ? 1 : 0);
  old = std::move(finding);
  return Seen::again;
}

std::vector<Finding> KnownFindings::settle(std::int64_t now,
                                           const std::function<bool(std::size_t)>& looked_wholly) {
  std::vector<Finding> gone;
  std::erase_if(known_, [&](auto& entry) {
    auto& [finding, symptom] = entry.second;
    if (finding.last_seen == now || !looked_wholly(symptom)) return false;
    gone.push_back(std::move(finding));
    return true;
  });
  return gone;
}

std::vector<Finding> KnownFindings::all() const {
  std::vector<Finding> all;
  for (const auto& [identity, known] : known_) all.push_back(known.finding);
  std::ranges::stable_sort(all, [](const Finding& a, const Finding& b) {
    return a.severity != b.severity ? a.severity > b.severity : a.first_seen < b.first_seen;
  });
  return all;
}

}  // namespace vitrine::symptom
