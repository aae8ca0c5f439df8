// vitrine completion: the script; vitrine __complete: what the script asks for.
#include "cli/completion.h"

#include <array>

#include "cli/commands/families.h"
#include "cli/nearest.h"

namespace vitrine::cli {
namespace {

Outcome<Status> print_script(Context& context, const Arguments& words) {
  const auto& shell = words.operands.front();
  const auto script = completion_script(shell);
  if (script.empty()) {
    return std::unexpected(Problem(Errc::invalid, "there is no completion for \"" + shell + "\"",
                                   "there is one for bash, zsh and fish"));
  }
  context.console.out.write(script);
  return Status::done;
}

Outcome<Status> print_candidates(Context& context, const Arguments& words) {
  for (const auto& candidate : candidates(words.operands, context.world)) {
    context.console.out.write(candidate + "\n");
  }
  return Status::done;
}

}  // namespace

Command completion_command() {
  return {.name = "completion",
          .group = "Help",
          .summary = "a completion script for bash, zsh or fish",
          .operands = {{"SHELL", Words::shell}},
          .description =
              "Names of machines, views and columns are completed as they are at that moment.",
          .examples = {"source <(vitrine completion bash)", "vitrine completion fish | source"},
          .run = print_script};
}

Command complete_command() {
  return {.name = "__complete",
          .summary = "candidates of a completion",
          .hidden = true,
          .run = print_candidates};
}

}  // namespace vitrine::cli
