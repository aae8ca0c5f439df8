// vitrine request: fires the OnExternalRequest(n) of a script that runs.
#include <fmt/core.h>

#include <charconv>

#include "cli/commands/families.h"
#include "cli/running_scripts.h"
#include "cli/session.h"

namespace vitrine::cli {
namespace {

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto& text = words.operands.front();
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > 63) {
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("\"{}\" is no request", text),
                "a request is a number from 0 to 63, that of OnExternalRequest(n)"));
  }
  const auto machine = TRY(open_machine(context, words));
  const auto scripts = running_scripts(machine->name());
  if (scripts.empty()) {
    return std::unexpected(
        Problem(Errc::not_found, fmt::format("no script of yours runs on {}", machine->name()),
                fmt::format("start one: vitrine run SCRIPT {}", machine->name())));
  }
  std::uint64_t probes = 0;
  std::string waits;
  for (const auto& script : scripts) {
    for (const auto known : script.requests) {
      waits += fmt::format("{}{} ({}, pid {})", waits.empty() ? "" : ", ", known,
                           escape(script.script, context.console.charset), script.pid);
    }
    probes += TRY(send_request(script, number));
  }
  if (probes == 0) {
    return std::unexpected(
        Problem(Errc::not_found,
                fmt::format("no script on {} waits for request {}", machine->name(), number),
                waits.empty() ? "none has a probe OnExternalRequest" : "there are " + waits));
  }
  context.console.remark(
      fmt::format("request {}: {} probe{}", number, probes, probes == 1 ? "" : "s"));
  return Status::done;
}

}  // namespace

Command request_command() {
  return {.name = "request",
          .group = "Language",
          .summary = "fire a running script's OnExternalRequest(N)",
          .operands = {{"VM", Words::machine}, {"N", Words::number}},
          .description =
              "Reaches every script of this user that runs on the machine and waits for that "
              "number, from 0 to 63.",
          .examples = {"vitrine request web1 1"},
          .run = run};
}

}  // namespace vitrine::cli
