// A view: one table of the guest's state, as typed rows.
//
// The same views serve the command line, JSON and the language. A view is made of a
// ViewInfo (its name and columns, static) and a ViewReader (the fields it found in
// this kernel), which hands out rows one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/problem.h"

namespace vitrine::linux {

class Kernel;

/// What a column holds, and so how it is printed and compared.
enum class ColumnType : std::uint8_t {
  boolean,   ///< bool
  integer,   ///< std::int64_t: pids, counts, flags that people read in decimal
  address,   ///< std::uint64_t: hexadecimal; a string in JSON, whose numbers end at 2^53
  mask,      ///< std::uint64_t: bits, hexadecimal; a string in JSON
  size,      ///< std::int64_t: bytes; people see 12.3 MiB, JSON the number
  duration,  ///< std::int64_t: nanoseconds; people see 1m02.345s, JSON seconds as a number
  time,      ///< std::int64_t: nanoseconds since 1970 UTC; ISO 8601 in text and JSON
  text,      ///< std::string: the guest's bytes as they are; printing escapes them
  list,      ///< std::vector<std::string>; an array in JSON
};

/// "integer", "address" ...: for the reference and for `vitrine views`.
[[nodiscard]] std::string_view name(ColumnType type) noexcept;

/// Absent: this row has no such thing (a kernel thread's executable), or it could
/// not be read. Prints as "-" and as null.
using Missing = std::monostate;
using Value =
    std::variant<Missing, bool, std::int64_t, std::uint64_t, std::string, std::vector<std::string>>;

struct Column {
  std::string_view name;  ///< snake_case; the key in JSON
  ColumnType type;
  std::string_view summary;  ///< one line: what it is, its unit, where the kernel keeps it
  /// shown: in the human table by default. hidden: in --json and by --columns.
  /// on_request: costs extra or is private (environ): only where named in --columns.
  enum Show : std::uint8_t { shown, hidden, on_request } show = shown;
  /// Kernels without it are ordinary: that it is missing is said only to who names columns.
  bool of_some_kernels = false;
};

struct ViewInfo {
  std::string_view name;     ///< plural: "processes"
  std::string_view summary;  ///< one line
  std::span<const Column> columns;
  std::string_view order;  ///< how rows are ordered, in words
  /// Columns that identify a row, space-separated: "pid", "pid fd".
  std::string_view key;
};

/// What is asked of a view. Columns that nobody wants are not computed.
struct Query {
  std::vector<bool> wanted;        ///< one per column; empty: all but on_request
  std::vector<std::int64_t> pids;  ///< rows of these thread groups alone; empty: all
};

/// Where rows go. A reader fills one row at a time:
///   row.begin(); row.set(kPid, pid); ... ; if (!row.end()) return;
class RowSink {
 public:
  RowSink(const ViewInfo& info, const Query& query);
  RowSink(const RowSink&) = delete;
  RowSink& operator=(const RowSink&) = delete;
  virtual ~RowSink() = default;

  [[nodiscard]] bool wants(std::size_t column) const { return wanted_[column]; }
  /// True if any of these is wanted: to skip a walk that serves them all.
  template <class... Columns>
  [[nodiscard]] bool wants_any(Columns... columns) const {
    return (wants(static_cast<std::size_t>(columns)) || ...);
  }
  [[nodiscard]] bool wants_pid(std::int64_t tgid) const;

  void begin();
  void set(std::size_t column, Value value) {
    if (wanted_[column]) values_[column] = std::move(value);
  }
  /// Marks the row: something in it changed under us or contradicts itself. The
  /// first word given stands; `why` is a literal: "torn", "parent is gone".
  void doubt(std::string_view why);
  /// Hands the row on. @returns false  no more rows are wanted: stop the walk.
  [[nodiscard]] bool end();

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t doubtful() const { return doubtful_; }

 protected:
  /// `doubt` is empty for a sound row. @returns false to stop.
  virtual bool row(std::span<const Value> values, std::string_view doubt) = 0;

 private:
  std::vector<bool> wanted_;
  std::vector<std::int64_t> pids_;
  std::vector<Value> values_;
  std::string doubt_;
  std::size_t rows_ = 0;
  std::size_t doubtful_ = 0;
};

/// How a reading went, beside its rows.
struct Tally {
  std::size_t retries = 0;            ///< rows read again because they changed under us
  std::size_t dropped = 0;            ///< rows given up: unreadable after all retries
  bool truncated = false;             ///< a bound was reached: there may be more rows
  std::vector<std::string> warnings;  ///< a sentence each: what could not be read, and where
};

/// What this kernel does not give of a view.
struct MissingColumns {
  std::vector<std::string_view> columns;  ///< names; none: whole rows, which `reason` names
  std::string reason;                     ///< "task_struct.seccomp.mode is not in this kernel"

  [[nodiscard]] bool about(std::string_view column) const noexcept;
  /// "uptime, boot_time: this kernel has no symbol tk_core"
  [[nodiscard]] std::string words() const;
};

/// A view bound to one kernel: its fields are resolved.
class ViewReader {
 public:
  ViewReader() = default;
  ViewReader(const ViewReader&) = delete;
  ViewReader& operator=(const ViewReader&) = delete;
  virtual ~ViewReader() = default;

  /// Hands every row to `rows`, in ViewInfo::order.
  /// @returns not_present, malformed ...  the table itself could not be read at all; a
  ///   row that cannot be read is doubted or dropped and counted instead.
  /// Cost: in proportion to the rows, never to the guest's RAM. Every walk is bounded.
  [[nodiscard]] virtual Outcome<Tally> read(RowSink& rows) = 0;

  /// Columns that no row of this kernel has, by the reason. Empty: all are there.
  [[nodiscard]] virtual std::vector<MissingColumns> missing_columns() const { return {}; }
};

/// What a view shows and how it is opened. Each view is one constant: linux/views/all_views.h.
class View {
 public:
  using Open = Outcome<std::unique_ptr<ViewReader>>(const Kernel& kernel);

  constexpr View(const ViewInfo& info, Open* opener) noexcept : info_(info), open_(opener) {}
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  [[nodiscard]] const ViewInfo& info() const noexcept { return info_; }

  /// Finds the fields this view needs. `kernel` must outlive the reader. Whatever the view itself
  /// can tell of its rows, its reader adds a warning where the host refused reads of RAM: what
  /// they would have led to may be missing.
  /// @returns not_found  a field or symbol without which the view means nothing; the
  ///   message names it.
  [[nodiscard]] Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) const;

 private:
  const ViewInfo& info_;
  Open* open_;
};

/// All views, by name.
[[nodiscard]] std::span<const View* const> views() noexcept;
/// The view of that name, or nullptr.
[[nodiscard]] const View* find_view(std::string_view name) noexcept;

}  // namespace vitrine::linux
