// Database: SQLite, as far as evidence needs it, with its errors as Problems.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/problem.h"

struct sqlite3;
struct sqlite3_stmt;

namespace vitrine::evidence {

class Statement {
 public:
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  Statement(const Statement&) = delete;

  Statement& bind(int place, std::int64_t value);
  Statement& bind(int place, std::string_view text);
  Statement& bind_blob(int place, std::string_view bytes);

  /// @returns true: there is a row; false: done. Errors as Database::run().
  [[nodiscard]] Outcome<bool> step();
  [[nodiscard]] std::int64_t integer(int column) const;
  /// Text or blob; empty for NULL. Valid until the next step.
  [[nodiscard]] std::string_view bytes(int column) const;

 private:
  friend class Database;
  Statement(sqlite3* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  sqlite3* database_;
  sqlite3_stmt* statement_;
};

class Database {
 public:
  enum class Mode { read, write };
  /// @returns not_found  no such file (read); denied, io
  [[nodiscard]] static Outcome<Database> open(const std::string& path, Mode mode);
  ~Database();
  Database(Database&& other) noexcept;
  Database& operator=(Database&&) = delete;
  Database(const Database&) = delete;

  /// Statements without a result.
  /// @returns too_large  the disk is full: SQLite undid it
  /// @returns malformed  not a database, or a damaged one
  /// @returns denied     a rule of the store refuses it (its triggers), or the file is read-only
  /// @returns io         anything else; SQLite's words in the message
  [[nodiscard]] Outcome<void> run(const char* sql);
  [[nodiscard]] Outcome<Statement> prepare(std::string_view sql) const;

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  sqlite3* handle_;
};

}  // namespace vitrine::evidence
