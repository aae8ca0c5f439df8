// What policies say that no rule will ever call for.
#pragma once

#include <string>
#include <vector>

#include "fvm/supervisor/config.h"
#include "symptom/pack.h"

namespace vitrine::fvm {

/// A sentence for each symptom that a policy of `config` names and no rule of `pack` tells of: what
/// is to be done about it never will be.
[[nodiscard]] std::vector<std::string> policy_remarks(const Config& config,
                                                      const symptom::Pack& pack);

}  // namespace vitrine::fvm
