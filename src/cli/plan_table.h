// The plan of a script, for `vitrine check --vm`: probe by probe, how it would be had and at what
// cost, or why not and what would make it possible.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/output.h"
#include "probe/planner.h"

namespace vitrine::cli {

/// A table that fits the terminal (80 columns in a pipe), long words going on below.
[[nodiscard]] std::string plan_table(const probe::Plan& plan, const Console& console);

/// One JSON object a probe: type ("probe"), file, line, probe, source (null: refused), mechanism,
/// cost, every_event, reason, remedy, others (what the other sources said).
[[nodiscard]] std::string plan_json(const probe::Plan& plan, std::string_view file,
                                    std::span<probe::EventSource* const> sources);

}  // namespace vitrine::cli
