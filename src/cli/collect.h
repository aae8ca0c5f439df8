// Collect: a view's rows in hand, for commands that draw something other than a table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/session.h"

namespace vitrine::cli {

struct Collected {
  struct Row {
    std::vector<linux::Value> values;  ///< one per name asked for
    std::string doubt;
  };
  std::vector<Row> rows;
  Status status = Status::done;  ///< what the reading left open was printed

  /// Missing and misfits are 0 and "".
  [[nodiscard]] static std::int64_t integer(const linux::Value& value);
  [[nodiscard]] static std::uint64_t address(const linux::Value& value);
  [[nodiscard]] static std::string text(const linux::Value& value);
};

/// Reads these columns of a view. Columns the view does not have stay missing.
/// @returns invalid  this build has no such view; or as the reader
[[nodiscard]] Outcome<Collected> collect(std::string_view view,
                                         const std::vector<std::string_view>& columns,
                                         std::vector<std::int64_t> pids, Context& context,
                                         Session& session);

}  // namespace vitrine::cli
