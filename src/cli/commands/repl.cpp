// vitrine repl: the language, line by line, on a machine or an image.
#include "cli/commands/repl.h"

#include <fmt/core.h>

#include <csignal>

#include "cli/event_sources.h"
#include "cli/prompt.h"
#include "vmipl/entry.h"

namespace vitrine::cli {
namespace {

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto settings = TRY(source_settings(words));
  auto session = TRY(Session::open(context, words));
  if (session.guest().kernel() == nullptr)
    return std::unexpected(Problem(Errc::unsupported, "this machine's kernel runs no scripts"));
  Prompt prompt(context, session, words, settings);
  LineEditor editor(state_file("repl_history"),
                    [&](std::string_view before) { return prompt.complete(before); });
  auto& console = context.console;
  if (console.interactive) {
    console.out.write(fmt::format("{}, Linux {}. :help says what to type, Ctrl-D leaves.\n",
                                  escape(session.machine().name(), console.charset),
                                  escape(session.guest().identity().release, console.charset)));
  }
  std::string entry;
  for (;;) {
    // Nobody reads what comes of it any more: to go on would be to act unseen.
    if (!console.out.flush()) break;
    console.err.flush();
    const auto line = editor.line(entry.empty() ? "vmi> " : "...> ");
    if (!line) break;
    if (editor.cancelled()) {
      entry.clear();
      continue;
    }
    entry += entry.empty() ? *line : "\n" + *line;
    if (vmipl::is_unfinished(entry)) continue;
    editor.remember(entry);
    if (!prompt.enter(std::exchange(entry, {}))) return Status::done;
    // Ctrl-C ends the entry that runs, and from a pipe all of them; what ends programs ends this
    // one.
    if (const int signal = prompt.ended_by();
        signal != 0 && (signal != SIGINT || !console.interactive))
      return Status::failed;
    if (!session.still_there()) TRY(session.still_there());
  }
  if (!entry.empty()) (void)prompt.enter(entry);
  if (console.interactive) console.out.write("\n");
  return prompt.all_well() || console.interactive ? Status::done : Status::failed;
}

}  // namespace

Command repl_command() {
  std::vector<Option> options{
      {"--allow-writes", "", "entries may write memory and registers"},
      {"--allow-control", "", "entries may pause, isolate, throttle, kill"}};
  for (auto& option : source_options()) options.push_back(option);
  options.push_back({"--no-cache", "", "recover the kernel's symbols and types anew"});
  return {
      .name = "repl",
      .group = "Language",
      .summary = "the language line by line, on a machine or an image",
      .operands = {{"VM", Words::machine}},
      .options = std::move(options),
      .description =
          "An expression prints its value, a statement runs once, a probe runs until Ctrl-C, also "
          "over a restart of its guest, const and fn are kept, a view's name shows it. Tab "
          "completes; the history is kept in "
          "$XDG_STATE_HOME/vitrine/repl_history, else under ~/.local/state.\n"
          "Lines may come from a pipe too; then the exit status is 1 if one of them failed.",
      .examples = {"vitrine repl web1", "echo 'u64(jiffies)' | vitrine repl memory.lime"},
      .run = run};
}

}  // namespace vitrine::cli
