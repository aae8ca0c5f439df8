// A flame graph: a profile as one picture. Each frame is a box as wide as its share of the
// samples, upon the one that called it.
#pragma once

#include <string>

#include "probe/profile/stack_counts.h"

namespace vitrine::probe {

struct FlameGraphOptions {
  std::string title;
  std::string subtitle;     ///< what was taken, and how
  unsigned width = 1200;    ///< pixels
  double narrowest = 0.25;  ///< pixels; narrower frames are left out and counted
};

/// A self-contained SVG file: no script, style or font from elsewhere. Each box has its whole
/// name, samples and share as its title, shown by a pointer that rests on it and found by a
/// browser's search in the file's text; a click on a box widens it, "find" marks by name.
/// Frames that end in "_[k]" are the kernel's and get colours of their own.
[[nodiscard]] std::string flame_graph_svg(const StackCounts& counts,
                                          const FlameGraphOptions& options);

}  // namespace vitrine::probe
