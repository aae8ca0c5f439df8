#include "symptom/patterns/pattern_set.h"

namespace vitrine::symptom {

PatternSet PatternSet::compile(const Pack& pack) {
  std::vector<PatternRules::Source> sources;
  for (const auto& file : pack.files())
    if (file.kind == PackFile::Kind::patterns) sources.push_back({file.name, file.text});
  PatternSet set;
  if (sources.empty()) return set;
  set.first = sources.front().name;
  set.rules = PatternRules::compile(sources, set.problems);
  if (set.rules != nullptr && set.rules->needs_everything())
    set.problems.emplace_back(
        "some patterns have no fixed bytes: every page is given to YARA, which takes seconds a "
        "pass");
  return set;
}

}  // namespace vitrine::symptom
