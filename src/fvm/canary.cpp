#include "fvm/canary.h"

#include <algorithm>

namespace vitrine::fvm {

symptom::Finding answer_canary(const Orders& orders, std::span<const std::byte> area) {
  symptom::Finding finding{.symptom = std::string(kCanarySymptom),
                           .severity = symptom::Severity::info};
  finding.identity = orders.canary_round;
  const auto found = std::ranges::search(area, orders.canary);
  if (!found.empty()) {
    const auto place = static_cast<std::size_t>(found.begin() - area.begin());
    const auto size = std::min(symptom::Finding::kMaxBytes, area.size() - place);
    finding.addresses.push_back(place);
    finding.bytes.assign(area.begin() + static_cast<std::ptrdiff_t>(place),
                         area.begin() + static_cast<std::ptrdiff_t>(place + size));
  }
  return finding;
}

}  // namespace vitrine::fvm
