// What a user may say to event sources: how often polling looks, how often a probe may fire.
//
// The command line comes before the script's Configuration, and that before the default.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "vmipl/program.h"

namespace vitrine::probe {

struct SourceSettings {
  std::optional<std::chrono::nanoseconds> poll_period;
  std::optional<std::uint64_t> rate_limit;  ///< events a second of each probe; 0: no limit
};

/// What the Configuration of a script says.
[[nodiscard]] SourceSettings settings_of(const vmipl::Program& program);

/// `first` where it says something, `program`'s Configuration elsewhere.
[[nodiscard]] SourceSettings settings_of(const SourceSettings& first,
                                         const vmipl::Program& program);

}  // namespace vitrine::probe
