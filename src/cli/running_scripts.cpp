#include "cli/running_scripts.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "cli/escape.h"
#include "probe/control_socket.h"

namespace vitrine::cli {
namespace {

using nlohmann::json;

std::string line(const json& answer) {
  return answer.dump(-1, ' ', false, json::error_handler_t::replace);
}

Outcome<json> ask(const std::string& socket, std::string_view question,
                  std::string_view body = {}) {
  const auto text = TRY(probe::ask_control(socket, question, body));
  auto answer = json::parse(text, nullptr, false);
  if (!answer.is_object())
    return std::unexpected(
        Problem(Errc::protocol, fmt::format("{}: what answers is no script of ours", socket)));
  if (answer.value("ok", false)) return answer;
  const auto word = [&](const char* name) {
    return answer.contains(name) && answer[name].is_string() ? answer[name].get<std::string>()
                                                             : std::string();
  };
  return std::unexpected(Problem(Errc::unsupported, word("message"), word("hint")));
}

}  // namespace

std::string who_answer(const RunningScript& script) {
  return line({{"ok", true},
               {"pid", script.pid},
               {"machine", escape_invalid(script.machine)},
               {"script", escape_invalid(script.script)},
               {"requests", script.requests}});
}
std::string good_answer(std::uint64_t probes) { return line({{"ok", true}, {"probes", probes}}); }
std::string bad_answer(const Problem& problem) {
  return line({{"ok", false}, {"message", problem.message}, {"hint", problem.hint}});
}

std::vector<RunningScript> running_scripts(std::string_view machine) {
  std::vector<RunningScript> out;
  for (const auto& socket : probe::control_sockets()) {
    const auto answer = ask(socket, "who");
    if (!answer) continue;
    try {
      RunningScript script{.socket = socket,
                           .pid = answer->at("pid").get<std::int64_t>(),
                           .machine = answer->at("machine").get<std::string>(),
                           .script = answer->at("script").get<std::string>(),
                           .requests = answer->at("requests").get<std::vector<std::uint64_t>>()};
      if (script.machine == escape_invalid(machine)) out.push_back(std::move(script));
    } catch (const json::exception&) {
      continue;  // another version's
    }
  }
  return out;
}

Outcome<std::uint64_t> send_request(const RunningScript& script, std::uint64_t number) {
  const auto answer = TRY(ask(script.socket, fmt::format("request {}", number)));
  return answer.contains("probes") && answer["probes"].is_number_unsigned()
             ? answer["probes"].get<std::uint64_t>()
             : 0;
}

Outcome<void> replace_script(const RunningScript& script, std::string_view name,
                             std::string_view text) {
  const auto body = fmt::format("{}\n{}", name, text);
  TRY(ask(script.socket, fmt::format("replace {}", body.size()), body));
  return {};
}

}  // namespace vitrine::cli
