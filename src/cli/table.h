// Table: columns of text for people, fitted to the terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/output.h"

namespace vitrine::cli {

struct TableColumn {
  std::string header;
  bool right = false;     ///< numbers
  bool flexible = false;  ///< may be cut short with an ellipsis
  bool middle = false;    ///< is then cut in the middle
  unsigned whole = 0;     ///< is cut to less only when nothing else can be
};

/// Cells are escaped already. The widths are those of the first 4,096 rows; from then on
/// rows are printed as they come, so that a table of any length takes bounded memory.
class Table {
 public:
  struct Options {
    bool header = true;
    bool wide = false;  ///< never cut
  };

  Table(std::vector<TableColumn> columns, Console& console, Options options)
      : columns_(std::move(columns)), console_(console), options_(options) {}

  /// `mark` follows the row's last cell. @returns false once nobody reads any more.
  bool row(std::vector<std::string> cells, std::string_view mark = "");
  void finish();

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string mark;
  };
  std::vector<TableColumn> columns_;
  Console& console_;
  Options options_;
  std::vector<Row> rows_;
  std::vector<unsigned> widths_;  // empty until laid out

  bool flush();
  void lay_out();
  /// Narrows flexible columns until the line fits, none of them to less than `least`.
  void give_way(unsigned gaps, const std::vector<unsigned>& least);
  bool print(const Row& row, bool is_header);
};

}  // namespace vitrine::cli
