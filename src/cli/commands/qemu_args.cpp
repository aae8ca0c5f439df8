// vitrine qemu-args: what to add to a QEMU command line so that its machine can be watched.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "cli/commands/families.h"
#include "probe/agent/agent.h"
#include "probe/agent/plugin_support.h"

namespace vitrine::cli {
namespace {

/// The QEMU that a shell would start by its usual name.
std::optional<std::string> installed_qemu() {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "";
  while (!rest.empty()) {
    const auto folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    auto program = fmt::format("{}/qemu-system-x86_64", folder.empty() ? "." : folder);
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return std::nullopt;
}

Outcome<Status> run(Context& context, const Arguments& words) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  auto agent = self.parent_path() / "vitrine-agent.so";
  if (const auto installed = self.parent_path().parent_path() / "lib/vitrine/vitrine-agent.so";
      !std::filesystem::exists(agent, error) && std::filesystem::exists(installed, error))
    agent = installed;
  if (error || !std::filesystem::exists(agent, error)) {
    return std::unexpected(Problem(Errc::not_found, fmt::format("there is no {}", agent.string()),
                                   "build it: ./dev build"));
  }
  for (const char c : agent.string()) {
    if (c == ',' || c == ' ' || c == '\'' || c == '"' || c == '\\')
      return std::unexpected(Problem(
          Errc::unsupported,
          fmt::format(
              "the path {} has characters that QEMU's options or the shell would take apart",
              agent.string())));
  }
  std::string line;
  if (!words.operands.empty()) {
    const auto& name = words.operands.front();
    if (name.empty()) return std::unexpected(Problem(Errc::invalid, "the machine's name is empty"));
    for (const char c : name) {
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.')
        return std::unexpected(Problem(
            Errc::invalid,
            fmt::format("a machine's name has letters, digits, '-', '_' and '.', not '{}'", c)));
    }
    line = fmt::format("-name {} ", name);
  }
  line += fmt::format("-plugin {},dir={}\n", agent.string(), probe::agent_directory(::geteuid()));
  context.console.out.write(line);
  if (const auto qemu = installed_qemu()) {
    if (const auto lacks = probe::cannot_load_agent(*qemu))
      context.console.remark(fmt::format(
          "! the QEMU installed here ({}) cannot load the agent: {}. QEMU 9.1 or newer, "
          "built with plugins, is needed",
          escape(*qemu, context.console.charset), *lacks));
  }
  return Status::done;
}

}  // namespace

Command qemu_args_command() {
  return {
      .name = "qemu-args",
      .group = "Machines",
      .summary = "the QEMU options that add the agent to a machine",
      .operands = {{"NAME", Words::text, true}},
      .description =
          "Prints what to add to the command line of QEMU 9.1 or newer so that scripts run at the "
          "events themselves: the plugin "
          "vitrine-agent.so, loaded idle, at no cost until a script asks; with NAME also -name. "
          "The agent's socket is made in a "
          "directory of the user who runs QEMU. It makes its events from translated code: under "
          "KVM it is loaded, and refuses scripts.",
      .examples = {"qemu-system-x86_64 $(vitrine qemu-args web1) -m 1024 ...", "vitrine qemu-args"},
      .run = run};
}

}  // namespace vitrine::cli
