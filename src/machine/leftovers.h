// Leftovers: what a Vitrine that was killed, guardian and all, has left in a QEMU.
#pragma once

#include <string>
#include <vector>

#include "base/problem.h"
#include "machine/monitor.h"

namespace vitrine {

/// Finds everything that carries the mark of an owner that is no more, waits a moment for its
/// guardian, and clears what is still there. @returns a sentence for each thing cleared, to be
/// told; empty where there was none.
/// What is found: objects (filters, markers) and character devices, by QEMU's own lists.
/// Cost: two monitor round trips if there is nothing.
[[nodiscard]] Outcome<std::vector<std::string>> clear_leftovers(const Monitor& monitor);

}  // namespace vitrine
