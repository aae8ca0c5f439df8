#include "cli/dispatch.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/help.h"
#include "cli/nearest.h"
#include "cli/problem_printer.h"
#include "cli/version.h"

namespace vitrine::cli {
namespace {

Problem no_command(std::string_view word, const World& world) {
  auto message = fmt::format("there is no command \"{}\"", word);
  for (const auto* view : world.views()) {
    if (view->info().name == word) {
      return {Errc::invalid, std::move(message),
              fmt::format("{} is a view: vitrine show {} [VM]", word, word)};
    }
  }
  std::vector<std::string_view> names;
  for (const auto& command : commands()) {
    if (!command.hidden) names.push_back(command.name);
  }
  if (const auto guess = did_you_mean(word, names); !guess.empty()) message += "; " + guess;
  return {Errc::invalid, std::move(message), "all commands: vitrine help"};
}

Outcome<Status> run(const std::vector<std::string>& words, Context& context) {
  if (words.empty()) {
    context.console.out.write(overview());
    return Status::done;
  }
  const auto& word = words.front();
  if (word == "--version" || word == "-V") {
    context.console.out.write(fmt::format("vitrine {}\n", kVersion));
    return Status::done;
  }
  if (word == "--help" || word == "-h") {
    context.console.out.write(overview());
    return Status::done;
  }
  const auto* command = find_command(word);
  if (command == nullptr) return std::unexpected(no_command(word, context.world));
  const std::vector<std::string> rest(words.begin() + 1, words.end());
  const auto end = std::ranges::find(rest, "--");
  const auto asks = [&](std::string_view help) {
    return std::find(rest.begin(), end, help) != end;
  };
  if (!command->hidden && (asks("--help") || asks("-h"))) {
    context.console.out.write(help_of(*command));
    return Status::done;
  }
  if (command->hidden) return command->run(context, Arguments{.operands = rest});
  const auto arguments = TRY(parse(*command, rest));
  return command->run(context, arguments);
}

}  // namespace

Status dispatch(const std::vector<std::string>& words, Context& context) {
  auto status = run(words, context);
  auto& out = context.console.out;
  out.flush();
  if (!status) {
    print(status.error(), context.console);
    return status_of(status.error());
  }
  // A reader that has seen enough (head) is no failure; a full disk is.
  if (const int error = out.failed(); error != 0 && error != EPIPE) {
    print(Problem(Errc::io, fmt::format("could not write: {}", std::strerror(error))),
          context.console);
    return Status::failed;
  }
  return *status;
}

}  // namespace vitrine::cli
