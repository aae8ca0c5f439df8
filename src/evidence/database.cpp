#include "evidence/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <utility>

namespace vitrine::evidence {
namespace {

Problem problem_of(sqlite3* database, std::string_view doing) {
  const int code = sqlite3_errcode(database);
  const std::string words = sqlite3_errmsg(database);
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {Errc::too_large, "the disk is full: the evidence store cannot grow",
              "make room on the store's file system; what could not be written is kept in memory "
              "and counted"};
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return {Errc::malformed, fmt::format("the evidence store is damaged: {}", words)};
    case SQLITE_CONSTRAINT:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return {Errc::denied, fmt::format("the evidence store refused: {}", words)};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Errc::timeout, "another process holds the evidence store"};
    case SQLITE_CANTOPEN:
      return {Errc::not_found, fmt::format("the evidence store cannot be opened: {}", words)};
    default:
      return {Errc::io, fmt::format("the evidence store, {}: {}", doing, words)};
  }
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}
Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int place, std::int64_t value) {
  sqlite3_bind_int64(statement_, place, value);
  return *this;
}
Statement& Statement::bind(int place, std::string_view text) {
  sqlite3_bind_text64(statement_, place, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}
Statement& Statement::bind_blob(int place, std::string_view bytes) {
  sqlite3_bind_blob64(statement_, place, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
  return *this;
}

Outcome<bool> Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return std::unexpected(problem_of(database_, "reading or writing"));
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string_view Statement::bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const auto size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string_view()
                         : std::string_view(data, static_cast<std::size_t>(size));
}

Outcome<Database> Database::open(const std::string& path, Mode mode) {
  sqlite3* handle = nullptr;
  const int flags =
      mode == Mode::read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path.c_str(), &handle,
                                   flags | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE, nullptr);
  Database database(handle);
  if (code != SQLITE_OK) {
    return std::unexpected(
        handle == nullptr ? Problem(Errc::io, "no memory for SQLite")
                          : Problem(Errc::not_found, fmt::format("{} cannot be opened: {}", path,
                                                                 sqlite3_errmsg(handle))));
  }
  sqlite3_busy_timeout(handle, 2000);
  // A forged database must not reach anything but its own rows.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  return database;
}

Database::Database(Database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
Database::~Database() { sqlite3_close_v2(handle_); }

Outcome<void> Database::run(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return std::unexpected(problem_of(handle_, "writing"));
  }
  return {};
}

Outcome<Statement> Database::prepare(std::string_view sql) const {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr) !=
      SQLITE_OK) {
    return std::unexpected(problem_of(handle_, "preparing"));
  }
  return Statement(handle_, statement);
}

}  // namespace vitrine::evidence
