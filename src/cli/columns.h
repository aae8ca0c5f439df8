// Columns: the words of --columns and --sort, looked up in a view.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "cli/row_writer.h"

namespace vitrine::cli {

/// The parts of "a,b,c", empty ones left out.
[[nodiscard]] std::vector<std::string> split(std::string_view words, char separator = ',');

/// "a,b" selects these; "+env" and "-rss" add to and take from `usual`; "all" is every
/// column, those on request included. Upper case will do as well.
/// @returns invalid  no such column; the message names the nearest, the hint lists all.
[[nodiscard]] Outcome<Selection> select_columns(std::string_view words, const linux::ViewInfo& view,
                                                const Selection& usual);

/// "rss,-pid": keys in order of weight, a minus for descending.
[[nodiscard]] Outcome<std::vector<WritingSink::Key>> sort_keys(std::string_view words,
                                                               const linux::ViewInfo& view);

/// What programs get: everything but the columns on request.
[[nodiscard]] Selection columns_for_programs(const linux::ViewInfo& view);
/// What people get: the shown columns.
[[nodiscard]] Selection columns_for_people(const linux::ViewInfo& view);

}  // namespace vitrine::cli
