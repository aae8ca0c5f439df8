// Reader: a store, read without a key and without writing.
#pragma once

#include <functional>
#include <string>

#include "evidence/database.h"
#include "evidence/entry.h"
#include "evidence/signing_key.h"

namespace vitrine::evidence {

class Reader {
 public:
  /// @returns not_found, denied, malformed
  [[nodiscard]] static Outcome<Reader> open(const std::string& path);

  [[nodiscard]] const std::string& guest() const noexcept { return guest_; }
  /// The key that the store itself names; a verifier has it from elsewhere.
  [[nodiscard]] const PublicKey& named_key() const noexcept { return key_; }

  /// Calls `each` for entries from `first` on, in order, until it answers false. Columns that
  /// do not have their size come out as zeros: the verifier says so.
  [[nodiscard]] Outcome<void> read(std::uint64_t first,
                                   const std::function<bool(const StoredEntry&)>& each) const;
  /// @returns not_found  there is no such entry
  [[nodiscard]] Outcome<StoredEntry> entry(std::uint64_t sequence) const;

  [[nodiscard]] const Database& database() const noexcept { return database_; }

 private:
  explicit Reader(Database database) : database_(std::move(database)) {}
  Database database_;
  std::string guest_;
  PublicKey key_{};
};

/// The entry of a row of kColumns.
[[nodiscard]] StoredEntry entry_of(const Statement& row);

}  // namespace vitrine::evidence
