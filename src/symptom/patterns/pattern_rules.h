// PatternRules: YARA rules, compiled, and what is looked for before YARA is asked.
//
// YARA finds where a rule's strings might be by short pieces of them (atoms), byte after byte. The
// same pieces, or the whole strings where they are plain, are given to a vectorised matcher: only
// pages that hold one of them, and their neighbours, are handed to YARA. What YARA then says is
// what it would have said of everything.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/problem.h"
#include "symptom/finding.h"

namespace vitrine::symptom {

/// Where one string of a rule matched.
struct PatternMatch {
  std::string rule, string;      ///< "eicar", "$a"
  std::uint64_t offset = 0;      ///< of the address space that was scanned
  std::vector<std::byte> bytes;  ///< the first of what matched, at most Finding::kMaxBytes
  std::uint64_t length = 0;
};

/// A rule whose condition held, and its matches: at most kMaxMatches.
struct PatternHit {
  std::string rule, summary, technique;
  Severity severity = Severity::medium;
  std::vector<PatternMatch> matches;
  std::uint64_t match_count = 0;
};

/// A stretch of an address space, in memory.
struct PatternBlock {
  std::uint64_t base = 0;
  Bytes bytes;
};

class PatternRules {
 public:
  static constexpr std::size_t kMaxMatches = 65536;  ///< kept of a rule; the bytes of the first 32
  /// How far a string may reach beyond what announces it: YARA's own limit for regular expressions.
  static constexpr std::size_t kReach = 4096;

  struct Source {
    std::string name, text;
  };
  /// Compiles each source in a namespace of its own. A source with a mistake is told in `problems`,
  /// and left out. Null if nothing is left.
  [[nodiscard]] static std::unique_ptr<PatternRules> compile(const std::vector<Source>& sources,
                                                             std::vector<std::string>& problems);
  virtual ~PatternRules() = default;

  /// What might be a match was complete with byte `last`; bytes [begin, end) of what was given must
  /// be seen by YARA to judge it. They may lie beyond what was given.
  using Announce = std::function<void(std::uint64_t last, std::int64_t begin, std::int64_t end)>;
  /// Calls `at` for everything in `bytes` that might announce a match.
  /// Threads: one at a time.
  virtual void announce(Bytes bytes, const Announce& at) = 0;
  /// The longest of what announces: so much of the bytes before must be given again.
  [[nodiscard]] virtual std::size_t overlap() const = 0;
  /// Strings that nothing announces (`/.{5}/`): everything must be given to YARA then.
  [[nodiscard]] virtual bool needs_everything() const = 0;
  /// Zeros alone may announce a match: empty pages must be looked at, too.
  [[nodiscard]] virtual bool needs_zeros() const = 0;

  /// What YARA says of the blocks, in order of address.
  /// @returns timeout  longer than `seconds`
  [[nodiscard]] virtual Outcome<std::vector<PatternHit>> scan(
      const std::vector<PatternBlock>& blocks, int seconds) = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;  ///< rules
};

}  // namespace vitrine::symptom
