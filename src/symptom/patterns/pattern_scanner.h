// PatternScanner: YARA rules over a guest's memory: all of it, and each process's as it sees it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "linux/kernel.h"
#include "symptom/patterns/pattern_rules.h"

namespace vitrine::symptom {

struct PatternTally {
  std::uint64_t pages = 0;         ///< of RAM that may hold anything
  std::uint64_t looked_at = 0;     ///< of these, not known from the last pass to be unchanged
  std::uint64_t candidates = 0;    ///< that announce a match
  std::uint64_t given_bytes = 0;   ///< handed to YARA
  std::vector<std::string> notes;  ///< bounds that were met
};

/// Hits of one process, or of the kernel and whatever is nobody's.
struct OwnedHits {
  std::optional<std::int64_t> pid;  ///< absent: physical memory; offsets are physical addresses
  std::string process;
  std::vector<PatternHit> hits;
};

/// Unchanged pages are known by a hash (XXH3 with a secret of this scanner's own) from one pass to
/// the next: reading all of a small guest's memory costs less than any way of being told what
/// changed, and changes nothing in the guest or its QEMU. Threads: one at a time. The guest runs
/// on.
class PatternScanner {
 public:
  static constexpr std::uint64_t kMaxGiven = 1ULL << 30;  ///< bytes to YARA in one pass over RAM
  static constexpr std::uint64_t kMaxOfProcess = 64ULL << 20;  ///< and for one process
  static constexpr std::size_t kMaxTables = 1U << 14;          ///< page tables of one process

  /// Both must outlive this.
  PatternScanner(const linux::Kernel& kernel, PatternRules& rules);
  ~PatternScanner();

  /// Physical memory as one address space, as `yara` sees an image of it: pages that nothing
  /// announces a match in are passed over, and make no difference to what matches.
  [[nodiscard]] Outcome<std::vector<PatternHit>> scan_memory(PatternTally& tally);
  /// Each process's memory by its own page tables, matches across its pages included; after
  /// scan_memory(): pages in which that matched, and what crosses from one page to the next only
  /// here.
  [[nodiscard]] std::vector<OwnedHits> scan_processes(PatternTally& tally);

 private:
  void search_changes(PatternTally& tally);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine::symptom
