#include "cli/table.h"

#include <algorithm>
#include <numeric>

namespace vitrine::cli {
namespace {

constexpr std::size_t kRowsToMeasure = 4096;
constexpr unsigned kGap = 2;
constexpr unsigned kLeast = 8;  // columns that a flexible cell keeps

}  // namespace

bool Table::row(std::vector<std::string> cells, std::string_view mark) {
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), std::string(mark)});
  if (!widths_.empty() || rows_.size() >= kRowsToMeasure) return flush();
  return true;
}

void Table::finish() { flush(); }

bool Table::flush() {
  bool read = true;
  if (widths_.empty()) {
    lay_out();
    if (options_.header) {
      Row header;
      for (const auto& column : columns_) header.cells.push_back(column.header);
      read = print(header, true);
    }
  }
  for (const auto& row : rows_) {
    if (!read) break;
    read = print(row, false);
  }
  rows_.clear();
  return read;
}

void Table::lay_out() {
  unsigned marks = 0;
  for (const auto& column : columns_) {
    widths_.push_back(options_.header ? display_width(column.header) : 1);
  }
  auto least = widths_;
  for (auto& width : least) width = std::max(width, kLeast);
  auto first = least;  // what columns keep while others can still give way
  for (std::size_t i = 0; i < columns_.size(); ++i)
    first[i] = std::max(first[i], columns_[i].whole);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      widths_[i] = std::max(widths_[i], display_width(row.cells[i]));
    }
    if (!row.mark.empty()) marks = std::max(marks, display_width(row.mark) + 1);
  }
  if (console_.width == 0 || options_.wide || columns_.empty()) return;

  const auto gaps = kGap * static_cast<unsigned>(columns_.size() - 1) + marks;
  give_way(gaps, first);
  give_way(gaps, least);
}

void Table::give_way(unsigned gaps, const std::vector<unsigned>& least) {
  for (;;) {
    const auto total = std::accumulate(widths_.begin(), widths_.end(), gaps);
    if (total <= console_.width) return;
    // The widest flexible column gives way, down to the next widest.
    std::size_t widest = columns_.size();
    unsigned next = 0;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (!columns_[i].flexible || widths_[i] <= least[i]) continue;
      if (widest == columns_.size() || widths_[i] > widths_[widest]) {
        if (widest != columns_.size()) next = std::max(next, widths_[widest]);
        widest = i;
      } else {
        next = std::max(next, widths_[i]);
      }
    }
    if (widest == columns_.size()) return;  // the line itself is cut
    const auto too_much = total - console_.width;
    const auto floor = std::max(least[widest], next < widths_[widest] ? next : widths_[widest] - 1);
    widths_[widest] -= std::min(too_much, widths_[widest] - floor);
  }
}

bool Table::print(const Row& row, bool is_header) {
  std::string line;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const bool last = i + 1 == columns_.size();
    const bool cut = columns_[i].flexible && console_.width != 0 && !options_.wide;
    const auto& whole = row.cells[i];
    const auto cell = !cut                 ? whole
                      : columns_[i].middle ? shorten_middle(whole, widths_[i], console_.charset)
                                           : shorten(whole, widths_[i], console_.charset);
    const auto width = display_width(cell);
    const std::string padding(widths_[i] > width ? widths_[i] - width : 0, ' ');
    if (columns_[i].right) line += padding;
    line += cell;
    if (!last) {
      if (!columns_[i].right) line += padding;
      line.append(kGap, ' ');
    }
  }
  const auto room = console_.width;
  const auto mark = row.mark.empty() ? 0 : display_width(row.mark) + 1;
  line.erase(line.find_last_not_of(' ') + 1);
  if (room > mark && !options_.wide) line = shorten(line, room - mark, console_.charset);
  if (is_header) line = console_.bold(line);
  if (mark != 0) line += " " + row.mark;
  return console_.out.write(line + "\n");
}

}  // namespace vitrine::cli
