#include "cli/shape.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "cli/cell.h"

namespace vitrine::cli {
namespace {

std::vector<TableColumn> table_columns(const std::vector<BoundColumn>& columns) {
  std::vector<TableColumn> table;
  for (const auto& column : columns) {
    using enum linux::ColumnType;
    table.push_back({.header = column.header,
                     .right = column.right,
                     .flexible = column.type == text || column.type == list,
                     .middle = column.middle,
                     .whole = column.whole});
  }
  return table;
}

class TableWriter final : public RowWriter {
 public:
  TableWriter(std::vector<BoundColumn> columns, Console& console, Table::Options options)
      : columns_(std::move(columns)),
        console_(console),
        table_(table_columns(columns_), console, options) {}

  bool row(std::span<const linux::Value> values, std::string_view doubt) override {
    std::vector<std::string> cells;
    cells.reserve(columns_.size());
    for (const auto& column : columns_) {
      if (column.draw == nullptr) {
        cells.push_back(human(values[column.sources.front()], column.type, console_.charset));
        continue;
      }
      std::vector<linux::Value> sources;
      for (const auto source : column.sources) sources.push_back(values[source]);
      cells.push_back(human(column.draw(sources), column.type, console_.charset));
    }
    return table_.row(std::move(cells), doubt.empty() ? std::string() : mark(doubt));
  }

  void finish() override {
    table_.finish();
    for (std::size_t i = 0; i < doubts_.size(); ++i) {
      console_.remark(fmt::format("{} {} ({} {})", std::string(i + 1, '?'), doubts_[i].why,
                                  doubts_[i].rows, doubts_[i].rows == 1 ? "row" : "rows"));
    }
  }

 private:
  struct Doubt {
    std::string why;
    std::size_t rows = 0;
  };

  /// "?" for the first reason seen, "??" for the second ...
  std::string mark(std::string_view why) {
    auto at = std::ranges::find(doubts_, why, &Doubt::why);
    if (at == doubts_.end()) at = doubts_.insert(at, {std::string(why)});
    ++at->rows;
    return std::string(static_cast<std::size_t>(at - doubts_.begin()) + 1, '?');
  }

  std::vector<BoundColumn> columns_;
  Console& console_;
  Table table_;
  std::vector<Doubt> doubts_;
};

}  // namespace

std::string header_of(std::string_view column) {
  std::string header(column);
  std::ranges::transform(header, header.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return header;
}

std::vector<BoundColumn> bound_columns(const Shape& shape, const linux::ViewInfo& view) {
  std::vector<BoundColumn> bound;
  for (const auto& column : shape) {
    BoundColumn made{.header = std::string(column.header),
                     .draw = column.draw,
                     .type = column.type,
                     .middle = column.middle,
                     .whole = column.whole};
    for (const auto& source : column.sources) {
      const auto at = std::ranges::find(view.columns, source, &linux::Column::name);
      if (at != view.columns.end()) {
        made.sources.push_back(static_cast<std::size_t>(at - view.columns.begin()));
      }
    }
    if (made.sources.size() != column.sources.size()) continue;
    const auto& first = view.columns[made.sources.front()];
    if (made.header.empty()) made.header = header_of(first.name);
    if (made.draw == nullptr) made.type = first.type;
    made.right = right_aligned(made.type);
    bound.push_back(std::move(made));
  }
  return bound;
}

std::vector<BoundColumn> bound_columns(const Selection& columns, const linux::ViewInfo& view) {
  std::vector<BoundColumn> bound;
  for (const auto index : columns) {
    const auto& column = view.columns[index];
    bound.push_back({.header = header_of(column.name),
                     .sources = {index},
                     .type = column.type,
                     .right = right_aligned(column.type)});
  }
  return bound;
}

std::unique_ptr<RowWriter> table_writer(std::vector<BoundColumn> columns, Console& console,
                                        Table::Options options) {
  return std::make_unique<TableWriter>(std::move(columns), console, options);
}

}  // namespace vitrine::cli
