// The canary: a known answer that must come back through the same way as a finding.
//
// Being alive proves nothing: an engine whose findings no longer leave it beats on. So the
// guard plants a token among random bytes, at another place each time, and the FVM must
// report where it lies and what surrounds it, as a finding, through the same function.
#pragma once

#include <cstddef>
#include <span>

#include "fvm/control_page.h"
#include "symptom/finding.h"

namespace vitrine::fvm {

inline constexpr std::string_view kCanarySymptom = "vitrine.canary";

/// What the FVM says of the area: the token's place and the bytes from there on.
/// Cost: a search of 16 KiB.
[[nodiscard]] symptom::Finding answer_canary(const Orders& orders, std::span<const std::byte> area);

}  // namespace vitrine::fvm
