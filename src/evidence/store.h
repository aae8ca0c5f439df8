// Store: one guest's evidence, append-only, chained and signed; the side that writes.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "evidence/database.h"
#include "evidence/entry.h"
#include "evidence/signing_key.h"
#include "memory/file_descriptor.h"

namespace vitrine::evidence {

/// A SQLite file in WAL mode, synchronous=FULL: an entry that append() answered for is on
/// the disk. Triggers refuse UPDATE and DELETE; whoever drops them breaks the chain.
/// Threads: one at a time. One writer a store: a second one is refused.
class Store {
 public:
  /// Opens the store at `path`, made if it is not there.
  /// @returns denied     its entries were signed with another key
  /// @returns malformed  not a store, damaged, or its last entry is not what was signed
  /// @returns timeout    another process writes to it; not_found, io
  [[nodiscard]] static Outcome<Store> open(const std::string& path, const std::string& guest,
                                           SigningKey key);

  /// Writes one entry. Texts over kLongestText and bodies over kLongestBody are refused.
  /// @returns too_large  the disk is full; nothing was written, try again later
  /// @returns invalid    the entry breaks the limits
  /// Cost: one fsync, and about 50 us.
  [[nodiscard]] Outcome<Link> append(const Entry& entry);

  /// Writes them all, or none, in one transaction: one fsync, however many. Errors as append().
  [[nodiscard]] Outcome<void> append_all(std::span<const Entry> entries);
  /// Whether append() would not answer `invalid`.
  [[nodiscard]] static Outcome<void> fits(const Entry& entry);

  /// The last entry's number and hash: an anchor to keep elsewhere, against truncation.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
  [[nodiscard]] const Hash& head() const noexcept { return head_; }
  [[nodiscard]] const PublicKey& public_key() const noexcept { return key_.public_key(); }

  /// The keys of findings whose last word is "finding", not "gone": what a new guard must
  /// not report again.
  struct Open {
    std::string key, subject;
    std::uint8_t severity = 0;
  };
  [[nodiscard]] Outcome<std::vector<Open>> open_findings() const;

  /// Calls `each` for the entries of one kind, the last one first, until it answers false.
  [[nodiscard]] Outcome<void> read_back(Kind kind,
                                        const std::function<bool(const Entry&)>& each) const;

  /// For tests: the store may not grow past this many pages of 4 KiB.
  [[nodiscard]] Outcome<void> limit_pages(std::uint64_t pages);

 private:
  [[nodiscard]] Outcome<Link> insert(const Entry& entry, std::uint64_t sequence,
                                     const Hash& previous);
  Store(Database database, SigningKey key) : database_(std::move(database)), key_(std::move(key)) {}

  FileDescriptor lock_;  ///< held for as long as we write
  Database database_;
  SigningKey key_;
  std::uint64_t sequence_ = 0;
  Hash head_{};
};

}  // namespace vitrine::evidence
