// Tables that are no view of a guest (the machines here, the symbols of one name) but
// are printed by the same rules: --json, --csv, --columns, --sort.
#pragma once

#include <functional>

#include "cli/view_run.h"

namespace vitrine::cli {

/// Plans by the words, then lets `fill` hand its rows over.
[[nodiscard]] Outcome<Status> run_fixed_view(
    const linux::ViewInfo& info, Context& context, const Arguments& words,
    const std::function<Outcome<void>(linux::RowSink&)>& fill);

/// view_options() without --pid and --no-cache.
[[nodiscard]] std::vector<Option> fixed_view_options();

}  // namespace vitrine::cli
