// A YARA rule's hit, told as a finding.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "symptom/finding.h"
#include "symptom/patterns/pattern_rules.h"
#include "symptom/view_cache.h"

namespace vitrine::symptom {

/// @param pid    whose memory it was found in, with the process's name; absent: the kernel's or
///               nobody's, and the hit's offsets are physical addresses
/// @param views  tells the mapping that each match lies in
[[nodiscard]] Finding pattern_finding(const PatternHit& hit, std::optional<std::int64_t> pid,
                                      const std::string& process, ViewCache& views);

}  // namespace vitrine::symptom
