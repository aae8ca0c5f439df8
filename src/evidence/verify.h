// Verifying a store: what is wrong, exactly, and where.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/problem.h"
#include "evidence/entry.h"
#include "evidence/signing_key.h"

namespace vitrine::evidence {

struct Anchor {
  std::uint64_t sequence = 0;
  Hash hash{};
};

struct Fault {
  std::uint64_t sequence = 0;  ///< the entry; 0: the store itself
  std::string words;           ///< "entry 7: its content is not what was hashed"
};

struct Report {
  std::string guest;
  std::uint64_t entries = 0;
  Anchor head;                       ///< to compare with what was logged elsewhere
  PublicKey key{};                   ///< that the signatures were checked with
  bool key_from_outside = false;     ///< false: the store's own; it vouches for itself only
  std::vector<Fault> faults;         ///< at most kMostFaults, then a last one that counts the rest
  std::vector<std::string> remarks;  ///< no fault, but to know: a wall clock that jumped
  [[nodiscard]] bool sound() const { return faults.empty(); }
};
inline constexpr std::size_t kMostFaults = 100;

/// Detected: any entry changed, removed from the middle, inserted, reordered or signed with
/// another key; dropped triggers; a damaged file; with `anchor`, a tail cut off or rewritten
/// since. Not detected without an anchor: entries cut off the end. Not detected at all: entries
/// that whoever held the signing key wrote.
/// @param key  the public key, from outside; without one the store's own is used, and said so.
/// @returns not_found, malformed  it is not a store at all
/// Cost: about 100 us an entry.
[[nodiscard]] Outcome<Report> verify(const std::string& path, const std::optional<PublicKey>& key,
                                     const std::optional<Anchor>& anchor);

}  // namespace vitrine::evidence
