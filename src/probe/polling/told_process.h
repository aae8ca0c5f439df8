// What a look tells of the catalogue's moments: which column of `processes` each one is.
#pragma once

#include <cstddef>
#include <optional>

#include "probe/firing.h"
#include "probe/polling/look.h"

namespace vitrine::probe {

/// The column of the view `processes` that is moment `i`; nothing: polling cannot tell it.
[[nodiscard]] std::optional<std::size_t> column_of_moment(unsigned i);

/// Moment `i` of a process.
[[nodiscard]] Told moment_of(const LookedProcess& process, unsigned i);

}  // namespace vitrine::probe
