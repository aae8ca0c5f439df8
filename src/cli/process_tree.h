// The tree of processes, from pids and parents that a guest may have forged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/escape.h"

namespace vitrine::cli {

struct TreeProcess {
  std::int64_t pid = 0;
  std::int64_t parent = 0;
  std::string label;  ///< escaped
};

/// One line a process, children below their parents, by pid. Every process is drawn once
/// and once only: one whose parent is not there stands at the left; a ring of parents is
/// opened at its lowest pid, and says so. Depth beyond 64 is drawn at 64.
/// @param root  this process and its descendants alone; 0: all.
[[nodiscard]] std::vector<std::string> draw_tree(const std::vector<TreeProcess>& processes,
                                                 std::int64_t root, Charset charset);

}  // namespace vitrine::cli
