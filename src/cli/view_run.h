// ViewRun: the words of a view command, understood; and the running of it.
#pragma once

#include <initializer_list>
#include <span>

#include "cli/command.h"
#include "cli/session.h"
#include "cli/shape.h"

namespace vitrine::cli {

/// --json, --csv, --columns, --pid, --sort, --no-header, --wide, --no-cache.
[[nodiscard]] std::vector<Option> view_options();
/// The same but for these: of views that have no process, no order of their own ...
[[nodiscard]] std::vector<Option> view_options_without(
    std::initializer_list<std::string_view> names);

/// @returns invalid  no such view; the message names the nearest, the hint lists all.
[[nodiscard]] Outcome<const linux::View*> find_view(const World& world, std::string_view name);

/// "1,2" as pids. @returns invalid
[[nodiscard]] Outcome<std::vector<std::int64_t>> parse_pids(const Arguments& words);

/// Those of `pids` that no process has; 0, the idle tasks, aside.
[[nodiscard]] Outcome<std::vector<std::int64_t>> absent_pids(std::vector<std::int64_t> pids,
                                                             Context& context, Session& session);
/// What is said of them, with where to look.
[[nodiscard]] Problem no_process(std::span<const std::int64_t> absent, const Session& session);

/// What to ask of the reader, and what to print of it.
struct ViewPlan {
  const linux::ViewInfo* info = nullptr;
  linux::Query query;
  std::vector<WritingSink::Key> keys;
  enum Format { table, json, csv } format = table;
  Selection columns;               ///< of json and csv
  std::vector<BoundColumn> bound;  ///< of tables
  bool named = false;              ///< the user chose columns
  Table::Options table_options;
};

/// Checks every word before any machine is touched. @returns invalid
[[nodiscard]] Outcome<ViewPlan> plan(const linux::ViewInfo& info, const Shape& shape,
                                     const Arguments& words);
[[nodiscard]] std::unique_ptr<RowWriter> writer_of(const ViewPlan& plan, Console& console);

/// Reads the view, prints it, and says on stderr what the reading left open.
[[nodiscard]] Outcome<Status> show(const linux::View& view, const ViewPlan& plan, RowWriter& writer,
                                   Context& context, Session& session);

/// All of it: plan, open, show.
[[nodiscard]] Outcome<Status> run_view(std::string_view view, const Shape& shape, Context& context,
                                       const Arguments& words);

/// Prints a reading's retries, drops and warnings. @returns doubtful if rows are
/// missing or unsure.
[[nodiscard]] Status report(const linux::Tally& tally, const linux::RowSink& rows,
                            Console& console);

}  // namespace vitrine::cli
