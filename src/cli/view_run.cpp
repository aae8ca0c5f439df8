#include "cli/view_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "cli/collect.h"
#include "cli/columns.h"
#include "cli/nearest.h"

namespace vitrine::cli {
namespace {

constexpr std::size_t kMostWarnings = 5;  // in full; the rest are counted

bool shows_processes(const linux::ViewInfo& info) {
  return std::ranges::find(info.columns, "pid", &linux::Column::name) != info.columns.end();
}

std::string counted(std::size_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

}  // namespace

std::vector<Option> view_options() {
  return {
      {"--columns", "NAME[,NAME]", "these columns; +NAME adds one, -NAME drops one, \"all\" is all",
       Words::column},
      {"--pid", "N[,N]", "rows of these processes alone", Words::number},
      {"--sort", "NAME[,NAME]", "order by these columns; -NAME: largest first", Words::column},
      {"--json", "", "one JSON object a line, every column but those on request"},
      {"--csv", "", "RFC 4180, every column but those on request"},
      {"--no-header", "", "no header line"},
      {"--wide", "", "cut nothing to fit the terminal"},
      {"--no-cache", "", "recover the kernel's symbols and types anew"},
  };
}

std::vector<Option> view_options_without(std::initializer_list<std::string_view> names) {
  auto options = view_options();
  std::erase_if(options,
                [&](const Option& o) { return std::ranges::find(names, o.name) != names.end(); });
  return options;
}

Outcome<const linux::View*> find_view(const World& world, std::string_view name) {
  std::vector<std::string_view> names;
  for (const auto* view : world.views()) {
    if (view->info().name == name) return view;
    names.push_back(view->info().name);
  }
  auto message = fmt::format("there is no view \"{}\"", name);
  if (const auto guess = did_you_mean(name, names); !guess.empty()) message += "; " + guess;
  auto hint = names.empty() ? std::string("this build has no views at all")
                            : "there are " + enumerate(names, "and");
  return std::unexpected(Problem(Errc::invalid, std::move(message), std::move(hint)));
}

Outcome<std::vector<std::int64_t>> parse_pids(const Arguments& words) {
  std::vector<std::int64_t> pids;
  const auto at = words.options.find("--pid");
  if (at == words.options.end()) return pids;
  for (const auto& value : at->second) {
    for (const auto& part : split(value)) {
      std::int64_t pid = 0;
      const auto* end = part.data() + part.size();
      const auto [stop, error] = std::from_chars(part.data(), end, pid);
      if (error != std::errc() || stop != end || pid < 0) {
        return std::unexpected(Problem(Errc::invalid,
                                       fmt::format("--pid: \"{}\" is no process id", part),
                                       "for example: --pid 1,842"));
      }
      pids.push_back(pid);
    }
  }
  if (pids.empty()) return std::unexpected(Problem(Errc::invalid, "--pid names no process"));
  return pids;
}

Outcome<ViewPlan> plan(const linux::ViewInfo& info, const Shape& shape, const Arguments& words) {
  ViewPlan plan{.info = &info};
  if (words.has("--json") && words.has("--csv")) {
    return std::unexpected(Problem(Errc::invalid, "--json and --csv: choose one"));
  }
  plan.format = words.has("--json")  ? ViewPlan::json
                : words.has("--csv") ? ViewPlan::csv
                                     : ViewPlan::table;
  plan.table_options = {.header = !words.has("--no-header"), .wide = words.has("--wide")};
  plan.query.pids = TRY(parse_pids(words));
  if (!plan.query.pids.empty() && !shows_processes(info)) {
    return std::unexpected(
        Problem(Errc::invalid,
                fmt::format("--pid: the rows of view \"{}\" belong to no process", info.name),
                fmt::format("its columns: vitrine views {}", info.name)));
  }
  if (const auto sort = words.value("--sort")) plan.keys = TRY(sort_keys(*sort, info));

  const auto people = plan.format == ViewPlan::table;
  plan.columns = people ? columns_for_people(info) : columns_for_programs(info);
  if (const auto columns = words.value("--columns")) {
    plan.named = true;
    plan.columns = TRY(select_columns(*columns, info, plan.columns));
    plan.bound = bound_columns(plan.columns, info);
  } else {
    plan.bound = bound_columns(shape, info);
    if (plan.bound.empty()) plan.bound = bound_columns(plan.columns, info);
  }

  plan.query.wanted.assign(info.columns.size(), false);
  if (people) {
    for (const auto& column : plan.bound) {
      for (const auto source : column.sources) plan.query.wanted[source] = true;
    }
  } else {
    for (const auto column : plan.columns) plan.query.wanted[column] = true;
  }
  for (const auto& key : plan.keys) plan.query.wanted[key.column] = true;
  return plan;
}

std::unique_ptr<RowWriter> writer_of(const ViewPlan& plan, Console& console) {
  switch (plan.format) {
    case ViewPlan::json:
      return json_writer(*plan.info, plan.columns, console.out);
    case ViewPlan::csv:
      return csv_writer(*plan.info, plan.columns, plan.table_options.header, console.out);
    case ViewPlan::table:
      break;
  }
  return table_writer(plan.bound, console, plan.table_options);
}

Outcome<std::vector<std::int64_t>> absent_pids(std::vector<std::int64_t> pids, Context& context,
                                               Session& session) {
  std::erase(pids, 0);  // the idle tasks, which are in no list
  if (pids.empty()) return pids;
  StringOutput unsaid;  // what this look leaves open, the view's own has said
  Console quiet{.out = context.console.out, .err = unsaid};
  Context silent{context.world, quiet};
  const auto there = TRY(collect("processes", {"pid"}, pids, silent, session));
  for (const auto& row : there.rows) std::erase(pids, Collected::integer(row.values[0]));
  return pids;
}

Problem no_process(std::span<const std::int64_t> absent, const Session& session) {
  std::string list;
  for (const auto pid : absent) list += fmt::format("{}{}", list.empty() ? "" : ", ", pid);
  return {Errc::not_found, fmt::format("there is no process {}", list),
          fmt::format("list them: vitrine ps {}", session.machine().name())};
}

Status report(const linux::Tally& tally, const linux::RowSink& rows, Console& console) {
  std::string counts;
  const auto add = [&](const std::string& part) { counts += (counts.empty() ? "" : ", ") + part; };
  if (rows.doubtful() != 0) add(counted(rows.doubtful(), "doubtful row", "doubtful rows"));
  if (tally.dropped != 0)
    add(counted(tally.dropped, "row unreadable and left out", "rows unreadable and left out"));
  if (tally.truncated) add("a bound was reached: there may be more rows");
  if (tally.retries != 0) add(counted(tally.retries, "row read again", "rows read again"));
  if (!counts.empty())
    console.remark(fmt::format("{}: {}", counted(rows.rows(), "row", "rows"), counts));
  for (std::size_t i = 0; i < tally.warnings.size() && i < kMostWarnings; ++i) {
    console.remark("! " + escape(tally.warnings[i], console.charset));
  }
  if (tally.warnings.size() > kMostWarnings) {
    console.remark(fmt::format("! and {} more of the kind", tally.warnings.size() - kMostWarnings));
  }
  const bool sure =
      rows.doubtful() == 0 && tally.dropped == 0 && !tally.truncated && tally.warnings.empty();
  return sure ? Status::done : Status::doubtful;
}

Outcome<Status> show(const linux::View& view, const ViewPlan& plan, RowWriter& writer,
                     Context& context, Session& session) {
  auto reader = session.guest().open(view);
  if (!reader) return std::unexpected(explain(std::move(reader).error(), session));
  for (const auto& missing : (*reader)->missing_columns()) {
    bool asked = missing.columns.empty();
    for (std::size_t i = 0; i < plan.info->columns.size(); ++i) {
      const auto& column = plan.info->columns[i];
      asked = asked || (plan.query.wanted[i] && (plan.named || !column.of_some_kernels) &&
                        missing.about(column.name));
    }
    if (asked) context.console.remark("! " + escape(missing.words(), context.console.charset));
  }
  WritingSink sink(*plan.info, plan.query, plan.keys, writer);
  auto tally = (*reader)->read(sink);
  sink.finish();
  if (!tally) return std::unexpected(explain(std::move(tally).error(), session));
  auto reading = report(*tally, sink, context.console);
  TRY(session.still_there());
  if (const auto absent = TRY(absent_pids(plan.query.pids, context, session)); !absent.empty()) {
    auto problem = no_process(absent, session);
    if (sink.rows() == 0) return std::unexpected(std::move(problem));
    context.console.remark("! " + problem.message);
    reading = Status::doubtful;
  }
  return reading == Status::done ? session.status() : reading;
}

Outcome<Status> run_view(std::string_view name, const Shape& shape, Context& context,
                         const Arguments& words) {
  const auto* view = TRY(find_view(context.world, name));
  const auto made = TRY(plan(view->info(), shape, words));
  auto session = TRY(Session::open(context, words));
  const auto writer = writer_of(made, context.console);
  return show(*view, made, *writer, context, session);
}

}  // namespace vitrine::cli
