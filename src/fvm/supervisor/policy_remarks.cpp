#include "fvm/supervisor/policy_remarks.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "fvm/did_you_mean.h"
#include "symptom/symptom_names.h"

namespace vitrine::fvm {

std::vector<std::string> policy_remarks(const Config& config, const symptom::Pack& pack) {
  std::vector<const GuestConfig*> all = {&config.usual};
  for (const auto& [name, own] : config.guests) all.push_back(&own);
  const auto names = symptom::symptom_names(pack);
  std::set<std::string> policies;
  std::vector<std::string> remarks;
  for (const auto* guest : all) {
    if (guest->policy_text.empty() || !policies.insert(guest->policy_name).second) continue;
    const auto policy = Policy::parse(guest->policy_text, guest->policy_name);
    if (!policy) continue;  // the configuration told it
    for (const auto& [symptom, actions] : policy->by_symptom) {
      if (std::ranges::binary_search(names, symptom)) continue;
      remarks.push_back(fmt::format("{}: no rule tells of the symptom \"{}\"{}", guest->policy_name,
                                    symptom, did_you_mean(symptom, names)));
    }
  }
  return remarks;
}

}  // namespace vitrine::fvm
