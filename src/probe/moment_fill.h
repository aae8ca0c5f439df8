// Fills a MomentLayout from an attached kernel: its own types and symbols.
#pragma once

#include <string>
#include <vector>

#include "linux/kernel.h"
#include "probe/moment_layout.h"

namespace vitrine::probe {

struct FilledMoment {
  MomentLayout layout;
  /// Members and symbols that this kernel lacks: what hangs on them is missing.
  std::vector<std::string> missing;
};

/// Cost: some dozens of look-ups by name, under a millisecond.
[[nodiscard]] FilledMoment fill_moment_layout(const linux::Kernel& kernel);

}  // namespace vitrine::probe
