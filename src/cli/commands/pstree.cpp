// vitrine pstree: who started whom.
#include <fmt/core.h>

#include "cli/collect.h"
#include "cli/commands/families.h"
#include "cli/process_tree.h"
#include "cli/view_run.h"

namespace vitrine::cli {
namespace {

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto pids = TRY(parse_pids(words));
  if (pids.size() > 1) {
    return std::unexpected(
        Problem(Errc::invalid, "a tree has one root: --pid takes one process here"));
  }
  const bool arguments = words.has("--arguments");
  auto& console = context.console;
  auto session = TRY(Session::open(context, words));
  const auto collected = TRY(collect(
      "processes", {"pid", "ppid", "name", arguments ? "cmdline" : "name"}, {}, context, session));

  std::vector<TreeProcess> processes;
  for (const auto& row : collected.rows) {
    const auto pid = Collected::integer(row.values[0]);
    auto label = escape(Collected::text(row.values[2]), console.charset);
    label = fmt::format("{} {}", pid, label);
    if (const auto line = Collected::text(row.values[3]); arguments && !line.empty()) {
      label = fmt::format("{} {}", pid, escape(line, console.charset));
    }
    if (!row.doubt.empty()) label += " ? " + escape(row.doubt, console.charset);
    processes.push_back({pid, Collected::integer(row.values[1]), std::move(label)});
  }
  const auto lines = draw_tree(processes, pids.empty() ? 0 : pids.front(), console.charset);
  if (lines.empty() && !pids.empty()) {
    return std::unexpected(no_process(pids, session));
  }
  for (const auto& line : lines) {
    const bool cut = console.width != 0 && !words.has("--wide");
    if (!console.out.write((cut ? shorten(line, console.width, console.charset) : line) + "\n"))
      break;
  }
  TRY(session.still_there());
  return collected.status == Status::done ? session.status() : collected.status;
}

}  // namespace

Command pstree_command() {
  return {.name = "pstree",
          .group = "Look",
          .summary = "processes as a tree: who started whom",
          .operands = {{"VM", Words::machine}},
          .options = {{"--pid", "N", "this process and its descendants", Words::number},
                      {"--arguments", "", "command lines instead of names"},
                      {"--wide", "", "cut nothing to fit the terminal"},
                      {"--no-cache", "", "recover the kernel's symbols and types anew"}},
          .examples = {"vitrine pstree web1", "vitrine pstree web1 --pid 1 --arguments"},
          .run = run};
}

}  // namespace vitrine::cli
