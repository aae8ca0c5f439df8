// KnownFindings: what stands, from one pass to the next. The same finding again is the same one;
// what was looked for, wholly, and not seen is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "symptom/finding.h"

namespace vitrine::symptom {

/// A value: a copy is what stood at that moment. Threads: one at a time.
class KnownFindings {
 public:
  /// @param most  known at once
  explicit KnownFindings(std::size_t most) : most_(most) {}

  enum class Seen { fresh, again, dropped };  ///< dropped: there are `most` already
  /// A pass saw it at `now`. @param symptom  the number of the one that told it
  Seen see(Finding finding, std::size_t symptom, std::int64_t now);

  /// Takes out those whose symptom `looked_wholly` in the pass of `now`, and that it did not see.
  [[nodiscard]] std::vector<Finding> settle(
      std::int64_t now, const std::function<bool(std::size_t symptom)>& looked_wholly);

  [[nodiscard]] std::size_t size() const { return known_.size(); }
  /// The severest first, then the oldest.
  [[nodiscard]] std::vector<Finding> all() const;

 private:
  struct Known {
    Finding finding;
    std::size_t symptom;  ///< who told it last, and tells that it is gone
  };
  std::size_t most_;
  std::map<std::uint64_t, Known> known_;  ///< by identity
};

}  // namespace vitrine::symptom
