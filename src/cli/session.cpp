#include "cli/session.h"

#include <fmt/core.h>

#include <cstdint>

#include "cli/problem_printer.h"

namespace vitrine::cli {
namespace {

Outcome<std::string> only_machine(Context& context) {
  const auto machines = TRY(context.world.machines());
  if (machines.empty()) {
    return std::unexpected(Problem(Errc::not_found,
                                   "no QEMU machine runs here that this user can see",
                                   "name a machine or a memory image; other users' machines need "
                                   "root\nsee one at work: vitrine demo"));
  }
  if (machines.size() > 1) {
    std::string list;
    for (const auto& machine : machines) {
      if (!list.empty()) list += ", ";
      list += fmt::format("{} (pid {})", machine.name, machine.pid);
    }
    return std::unexpected(Problem(
        Errc::invalid, fmt::format("which machine? {} are running", machines.size()), list));
  }
  const auto& only = machines.front();
  context.console.remark(fmt::format("reading {} (pid {}), the only machine running",
                                     escape(only.name, context.console.charset), only.pid));
  return std::to_string(only.pid);
}

}  // namespace

Outcome<std::unique_ptr<Machine>> open_machine(Context& context, const Arguments& words) {
  const auto vm = words.machine ? *words.machine : TRY(only_machine(context));
  return context.world.open_machine(vm);
}

Outcome<Session> Session::open(Context& context, const Arguments& words) {
  Session session;
  session.machine_ = TRY(open_machine(context, words));
  auto guest = context.world.attach(*session.machine_, !words.has("--no-cache"));
  const auto say = [&](const std::string& warning) {
    context.console.remark("! " + escape(warning, context.console.charset));
  };
  for (const auto& warning : session.machine_->warnings()) say(warning);
  if (!guest) {
    if (!session.machine_->alive()) {
      return std::unexpected(Problem(
          Errc::vanished, fmt::format("{} went away while it was read", session.machine_->name()),
          guest.error().message));
    }
    return std::unexpected(std::move(guest).error());
  }
  session.guest_ = std::move(*guest);
  for (const auto& warning : session.guest_->health().warnings) say(warning);
  for (const auto& check : session.guest_->health().checks) {
    if (check.verdict == linux::Health::Verdict::passed) continue;
    say(fmt::format("self-test \"{}\" {}: {}", check.name,
                    check.verdict == linux::Health::Verdict::failed ? "failed" : "not known",
                    check.detail));
  }
  return session;
}

bool Session::other_kernel() const {
  return machine_->alive() && machine_->live() && !guest_->still_there();
}

Outcome<void> Session::still_there() const {
  // A QEMU that is ending loses its memory before its process is gone.
  const bool readable =
      machine_->memory().load<std::uint8_t>(guest_->identity().text_physical).has_value();
  if (!machine_->alive() || (machine_->live() && !readable)) {
    return std::unexpected(Problem(Errc::vanished,
                                   fmt::format("{} went away while it was read", machine_->name()),
                                   "what was printed may be torn"));
  }
  if (other_kernel()) {
    return std::unexpected(Problem(
        Errc::vanished,
        fmt::format("{} runs another kernel now: it rebooted while it was read", machine_->name()),
        "what was printed may be torn; run the command again"));
  }
  return {};
}

Status Session::status() const { return guest_->health().ok() ? Status::done : Status::doubtful; }

Problem explain(Problem problem, const Session& session) {
  auto there = session.still_there();
  if (there) return problem;
  there.error().hint = problem.message;
  return std::move(there).error();
}

}  // namespace vitrine::cli
