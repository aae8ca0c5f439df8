// vitrine dmesg: the kernel's log, as the guest's own dmesg prints it.
#include <fmt/core.h>

#include "cli/collect.h"
#include "cli/columns.h"
#include "cli/commands/families.h"
#include "cli/view_run.h"

namespace vitrine::cli {
namespace {

constexpr std::int64_t kMicrosecond = 1000;
constexpr std::int64_t kMicroseconds = 1'000'000;

Outcome<Status> run(Context& context, const Arguments& words) {
  if (words.has("--json") || words.has("--csv") || words.has("--columns")) {
    return run_view("kernel_log", {}, context, words);
  }
  auto session = TRY(Session::open(context, words));
  const auto collected = TRY(collect("kernel_log", {"time", "text"}, {}, context, session));
  auto& console = context.console;
  for (const auto& row : collected.rows) {
    const auto time = Collected::integer(row.values[0]) / kMicrosecond;
    const auto prefix = fmt::format("[{:5}.{:06}] ", time / kMicroseconds, time % kMicroseconds);
    // Lines of one record stand below each other: none can pass for a record of its own.
    std::string text;
    for (const auto& line : split(Collected::text(row.values[1]), '\n')) {
      text += text.empty() ? prefix : std::string(prefix.size(), ' ');
      text += escape(line, console.charset);
      text += text.ends_with('\n') ? "" : "\n";
    }
    if (text.empty()) text = prefix + "\n";
    if (!row.doubt.empty())
      text.insert(text.size() - 1, " ? " + escape(row.doubt, console.charset));
    if (!console.out.write(text)) break;
  }
  TRY(session.still_there());
  return collected.status == Status::done ? session.status() : collected.status;
}

}  // namespace

Command dmesg_command() {
  return {
      .name = "dmesg",
      .group = "Look",
      .summary = "the kernel's log",
      .operands = {{"VM", Words::machine}},
      .options = view_options_without({"--pid", "--sort"}),
      .description =
          "The view \"kernel_log\": with --json, --csv or --columns record by record, with level "
          "and facility.",
      .examples = {"vitrine dmesg web1", "vitrine dmesg web1 --json"},
      .run = run};
}

}  // namespace vitrine::cli
