// Shape: how a command shows a view to people; which columns, and what is drawn
// together ("127.0.0.1:22" of two). Programs (--json, --csv) and whoever names
// --columns get the view's own columns instead.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/row_writer.h"
#include "cli/table.h"

namespace vitrine::cli {

struct ShapeColumn {
  /// One value out of several, guest bytes as they are.
  using Draw = linux::Value (*)(std::span<const linux::Value> sources);

  std::string_view header;                           ///< empty: the first source's name, upper case
  std::vector<std::string_view> sources;             ///< the view's columns
  Draw draw = nullptr;                               ///< null: the first source as it is
  linux::ColumnType type = linux::ColumnType::text;  ///< of what is drawn
  bool middle = false;  ///< where it must be cut, cut in the middle: both ends tell something
  unsigned whole = 0;   ///< cut to less only when nothing else can be
};

/// Empty: the view's shown columns.
using Shape = std::vector<ShapeColumn>;

/// A shape bound to a view: sources as indices.
struct BoundColumn {
  std::string header;
  std::vector<std::size_t> sources;
  ShapeColumn::Draw draw = nullptr;
  linux::ColumnType type = linux::ColumnType::text;
  bool right = false;
  bool middle = false;
  unsigned whole = 0;
};

/// Columns of the shape whose sources this view lacks are left out.
[[nodiscard]] std::vector<BoundColumn> bound_columns(const Shape& shape,
                                                     const linux::ViewInfo& view);
[[nodiscard]] std::vector<BoundColumn> bound_columns(const Selection& columns,
                                                     const linux::ViewInfo& view);

/// "PID" of "pid".
[[nodiscard]] std::string header_of(std::string_view column);

/// A table on the console's out. finish() prints why rows are marked on its err.
[[nodiscard]] std::unique_ptr<RowWriter> table_writer(std::vector<BoundColumn> columns,
                                                      Console& console, Table::Options options);

}  // namespace vitrine::cli
