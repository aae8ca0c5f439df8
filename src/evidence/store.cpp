#include "evidence/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <cstring>

#include "evidence/reader.h"
#include "evidence/schema.h"

namespace vitrine::evidence {
namespace {

template <std::size_t N>
std::string_view view(const std::array<std::byte, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

Outcome<void> build(Database& database, const std::string& guest, const SigningKey& key) {
  for (const auto& object : kSchema) TRY(database.run(std::string(object.sql).c_str()));
  auto insert = TRY(database.prepare(
      "INSERT INTO store VALUES ('format', ?1), ('guest', ?2), ('public_key', ?3)"));
  insert.bind_blob(1, kFormat).bind_blob(2, guest).bind_blob(3, view(key.public_key()));
  TRY(insert.step());
  return {};
}

/// Rolls back unless told that all went well.
class Transaction {
 public:
  [[nodiscard]] static Outcome<Transaction> begin(Database& database) {
    TRY(database.run("BEGIN IMMEDIATE"));
    return Transaction(database);
  }
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  ~Transaction() {
    if (database_ != nullptr)
      (void)database_->run("ROLLBACK");  // after a full disk SQLite did so itself
  }
  [[nodiscard]] Outcome<void> commit() {
    TRY(database_->run("COMMIT"));
    database_ = nullptr;
    return {};
  }

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace

Outcome<Store> Store::open(const std::string& path, const std::string& guest, SigningKey key) {
  // One writer: whoever comes second is told at once, not when the chains collide.
  FileDescriptor lock(
      ::open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock) {
    return std::unexpected(Problem(
        Errc::not_found, fmt::format("{}.lock cannot be opened: {}", path, std::strerror(errno))));
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return std::unexpected(
        Problem(Errc::timeout, fmt::format("another process writes to {}", path)));
  }
  Store store(TRY(Database::open(path, Database::Mode::write)), std::move(key));
  store.lock_ = std::move(lock);
  auto& database = store.database_;
  TRY(database.run(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=4194304;"));
  bool fresh = false;
  {
    auto tables = TRY(database.prepare("SELECT count(*) FROM sqlite_schema"));
    TRY(tables.step());
    fresh = tables.integer(0) == 0;
  }
  auto transaction = TRY(Transaction::begin(database));
  if (fresh) {
    TRY(build(database, guest, store.key_));
  } else {
    auto key_row = TRY(database.prepare("SELECT value FROM store WHERE name = 'public_key'"));
    if (!TRY(key_row.step()) || key_row.bytes(0) != view(store.public_key())) {
      return std::unexpected(
          Problem(Errc::denied, fmt::format("{} was signed with another key", path),
                  "give the store its own key back, or move it away and begin a new one"));
    }
  }
  std::optional<StoredEntry> last;
  {
    auto row = TRY(database.prepare(
        fmt::format("SELECT {} FROM entries ORDER BY sequence DESC LIMIT 1", kColumns)));
    if (TRY(row.step())) last = entry_of(row);
  }
  TRY(transaction.commit());
  if (last) {
    const auto& link = last->link;
    if (hash_of(last->entry, link.sequence, link.previous) != link.hash ||
        !verifies(store.public_key(), link.hash, link.signature)) {
      return std::unexpected(Problem(
          Errc::malformed,
          fmt::format("{}: its last entry, {}, is not what was signed", path, link.sequence),
          "vitrine evidence verify says what is wrong; nothing is added to a broken chain"));
    }
    store.sequence_ = link.sequence;
    store.head_ = link.hash;
  }
  return store;
}

Outcome<void> Store::fits(const Entry& entry) {
  for (const auto* text : {&entry.guest, &entry.subject, &entry.key}) {
    if (text->size() > kLongestText)
      return std::unexpected(Problem(Errc::invalid, "a text of an entry is too long"));
  }
  if (entry.body.size() > kLongestBody)
    return std::unexpected(Problem(Errc::invalid, "an entry's body is too long"));
  return {};
}

Outcome<Link> Store::insert(const Entry& entry, std::uint64_t sequence, const Hash& previous) {
  TRY(fits(entry));
  Link link{.sequence = sequence, .previous = previous};
  link.hash = hash_of(entry, link.sequence, previous);
  link.signature = key_.sign(link.hash);
  auto insert = TRY(database_.prepare(fmt::format(
      "INSERT INTO entries ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
      kColumns)));
  insert.bind(1, static_cast<std::int64_t>(link.sequence))
      .bind(2, static_cast<std::int64_t>(entry.kind))
      .bind(3, entry.moment.wall_ns)
      .bind(4, entry.moment.monotonic_ns)
      .bind_blob(5, view(entry.moment.boot))
      .bind(6, entry.guest)
      .bind(7, entry.subject)
      .bind(8, std::int64_t{entry.severity})
      .bind(9, entry.key)
      .bind(10, entry.body)
      .bind_blob(11, view(link.previous))
      .bind_blob(12, view(link.hash))
      .bind_blob(13, view(link.signature));
  TRY(insert.step());
  return link;
}

Outcome<Link> Store::append(const Entry& entry) {
  auto transaction = TRY(Transaction::begin(database_));
  const auto link = TRY(insert(entry, sequence_ + 1, head_));
  TRY(transaction.commit());
  sequence_ = link.sequence;
  head_ = link.hash;
  return link;
}

Outcome<void> Store::append_all(std::span<const Entry> entries) {
  if (entries.empty()) return {};
  auto transaction = TRY(Transaction::begin(database_));
  Link last{.sequence = sequence_, .hash = head_};
  for (const auto& entry : entries) last = TRY(insert(entry, last.sequence + 1, last.hash));
  TRY(transaction.commit());
  sequence_ = last.sequence;
  head_ = last.hash;
  return {};
}

Outcome<std::vector<Store::Open>> Store::open_findings() const {
  auto rows =
      TRY(database_.prepare("SELECT key, subject, severity, kind, max(sequence) FROM entries WHERE "
                            "kind IN (1, 2) GROUP BY key"));
  std::vector<Open> open;
  while (TRY(rows.step())) {
    if (rows.integer(3) != static_cast<std::int64_t>(Kind::finding)) continue;
    open.push_back({std::string(rows.bytes(0)), std::string(rows.bytes(1)),
                    static_cast<std::uint8_t>(rows.integer(2))});
  }
  return open;
}

Outcome<void> Store::read_back(Kind kind, const std::function<bool(const Entry&)>& each) const {
  auto rows = TRY(database_.prepare(
      fmt::format("SELECT {} FROM entries WHERE kind = ?1 ORDER BY sequence DESC", kColumns)));
  rows.bind(1, static_cast<std::int64_t>(kind));
  while (TRY(rows.step())) {
    if (!each(entry_of(rows).entry)) break;
  }
  return {};
}

Outcome<void> Store::limit_pages(std::uint64_t pages) {
  auto limit = TRY(database_.prepare(fmt::format("PRAGMA max_page_count={}", pages)));
  TRY(limit.step());
  return {};
}

}  // namespace vitrine::evidence
