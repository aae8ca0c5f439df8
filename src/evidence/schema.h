// The store's tables, word for word: the verifier compares them with what it finds.
#pragma once

#include <array>
#include <string_view>

namespace vitrine::evidence {

inline constexpr std::string_view kFormat = "vitrine-evidence-1";

struct SchemaObject {
  std::string_view name;
  std::string_view sql;
};

inline constexpr std::array<SchemaObject, 6> kSchema = {{
    {"store", "CREATE TABLE store (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"},
    {"entries",
     "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, kind INTEGER NOT NULL, wall_ns INTEGER "
     "NOT NULL, "
     "monotonic_ns INTEGER NOT NULL, boot BLOB NOT NULL, guest TEXT NOT NULL, subject TEXT NOT "
     "NULL, "
     "severity INTEGER NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, previous BLOB NOT NULL, "
     "hash BLOB NOT NULL, signature BLOB NOT NULL)"},
    {"entries_stay",
     "CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'evidence is "
     "never changed'); END"},
    {"entries_remain",
     "CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'evidence "
     "is never deleted'); END"},
    {"store_stays",
     "CREATE TRIGGER store_stays BEFORE UPDATE ON store BEGIN SELECT RAISE(ABORT, 'evidence is "
     "never changed'); END"},
    {"store_remains",
     "CREATE TRIGGER store_remains BEFORE DELETE ON store BEGIN SELECT RAISE(ABORT, 'evidence is "
     "never deleted'); END"},
}};

inline constexpr std::string_view kColumns =
    "sequence, kind, wall_ns, monotonic_ns, boot, guest, subject, severity, key, body, previous, "
    "hash, signature";

}  // namespace vitrine::evidence
