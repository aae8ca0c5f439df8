// vitrine help, vitrine man.
#include "cli/help.h"

#include "cli/commands/families.h"
#include "cli/man_page.h"
#include "cli/nearest.h"

namespace vitrine::cli {
namespace {

Outcome<Status> help(Context& context, const Arguments& words) {
  if (words.operands.empty()) {
    context.console.out.write(overview());
    return Status::done;
  }
  const auto& word = words.operands.front();
  const auto* command = find_command(word);
  if (command == nullptr || command->hidden) {
    std::vector<std::string_view> names;
    for (const auto& known : commands()) names.push_back(known.name);
    auto message = "there is no command \"" + word + "\"";
    if (const auto guess = did_you_mean(word, names); !guess.empty()) message += "; " + guess;
    return std::unexpected(
        Problem(Errc::invalid, std::move(message), "all commands: vitrine help"));
  }
  context.console.out.write(help_of(*command));
  return Status::done;
}

Outcome<Status> man(Context& context, const Arguments&) {
  context.console.out.write(man_page());
  return Status::done;
}

}  // namespace

Command help_command() {
  return {.name = "help",
          .group = "Help",
          .summary = "explains a command",
          .operands = {{.name = "COMMAND", .words = Words::command, .optional = true}},
          .examples = {"vitrine help ps"},
          .run = help};
}

Command man_command() {
  return {.name = "man",
          .group = "Help",
          .summary = "the manual page, as roff",
          .examples = {"vitrine man | man -l -"},
          .run = man};
}

}  // namespace vitrine::cli
