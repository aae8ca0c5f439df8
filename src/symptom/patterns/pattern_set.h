// PatternSet: the YARA rules of a pack, compiled.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "symptom/pack.h"
#include "symptom/patterns/pattern_rules.h"

namespace vitrine::symptom {

/// Compiling takes no kernel, and for a moment more memory than an engine with its kernel has:
/// whoever counts memory does it before there is one, and once for all engines after each other.
struct PatternSet {
  std::shared_ptr<PatternRules> rules;  ///< null: the pack has none that could be compiled
  std::string first;                    ///< the first file of them
  std::vector<std::string> problems;    ///< mistakes; the other files' rules are there
  [[nodiscard]] static PatternSet compile(const Pack& pack);
};

}  // namespace vitrine::symptom
