#include "evidence/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "evidence/schema.h"

namespace vitrine::evidence {
namespace {

template <std::size_t N>
std::array<std::byte, N> fixed(std::string_view bytes) {
  std::array<std::byte, N> value{};
  if (bytes.size() == N) std::memcpy(value.data(), bytes.data(), N);
  return value;
}

Outcome<std::string> property(const Database& database, std::string_view name) {
  auto statement = TRY(database.prepare("SELECT value FROM store WHERE name = ?1"));
  statement.bind(1, name);
  if (!TRY(statement.step())) return std::string();
  return std::string(statement.bytes(0));
}

}  // namespace

StoredEntry entry_of(const Statement& row) {
  StoredEntry stored;
  stored.link.sequence = static_cast<std::uint64_t>(row.integer(0));
  stored.entry.kind = static_cast<Kind>(std::clamp<std::int64_t>(row.integer(1), 0, 255));
  stored.entry.moment = {
      .wall_ns = row.integer(2), .monotonic_ns = row.integer(3), .boot = fixed<16>(row.bytes(4))};
  stored.entry.guest = row.bytes(5);
  stored.entry.subject = row.bytes(6);
  stored.entry.severity =
      static_cast<std::uint8_t>(std::clamp<std::int64_t>(row.integer(7), 0, 255));
  stored.entry.key = row.bytes(8);
  stored.entry.body = row.bytes(9);
  stored.link.previous = fixed<32>(row.bytes(10));
  stored.link.hash = fixed<32>(row.bytes(11));
  stored.link.signature = fixed<64>(row.bytes(12));
  return stored;
}

Outcome<Reader> Reader::open(const std::string& path) {
  Reader reader(TRY(Database::open(path, Database::Mode::read)));
  const auto format = property(reader.database_, "format");
  if (!format && format.error().code != Errc::io) return std::unexpected(format.error());
  if (!format || *format != kFormat) {
    return std::unexpected(
        Problem(Errc::malformed, fmt::format("{} is no evidence store of Vitrine", path)));
  }
  reader.guest_ = TRY(property(reader.database_, "guest"));
  reader.key_ = fixed<32>(TRY(property(reader.database_, "public_key")));
  return reader;
}

Outcome<void> Reader::read(std::uint64_t first,
                           const std::function<bool(const StoredEntry&)>& each) const {
  auto statement = TRY(database_.prepare(
      fmt::format("SELECT {} FROM entries WHERE sequence >= ?1 ORDER BY sequence", kColumns)));
  statement.bind(1, static_cast<std::int64_t>(first));
  while (TRY(statement.step())) {
    if (!each(entry_of(statement))) break;
  }
  return {};
}

Outcome<StoredEntry> Reader::entry(std::uint64_t sequence) const {
  std::optional<StoredEntry> found;
  TRY(read(sequence, [&](const StoredEntry& stored) {
    if (stored.link.sequence == sequence) found = stored;
    return false;
  }));
  if (!found)
    return std::unexpected(Problem(Errc::not_found, fmt::format("there is no entry {}", sequence)));
  return *found;
}

}  // namespace vitrine::evidence
