#include "machine/run_state.h"

#include <nlohmann/json.hpp>

namespace vitrine {

Outcome<std::string> ask_run_state(Qmp& qmp) {
  const auto json = nlohmann::json::parse(TRY(qmp.execute("query-status")), nullptr, false);
  if (json.is_object()) {
    const auto state = json.find("status");
    if (state != json.end() && state->is_string()) return state->get<std::string>();
  }
  return std::unexpected(Problem(Errc::protocol, "the QMP monitor does not tell its state"));
}

std::string_view doubt_of_run_state(std::string_view state) noexcept {
  if (state == "inmigrate")
    return "the machine is being migrated to here (inmigrate): its RAM is not whole before it runs";
  if (state == "postmigrate")
    return "the machine was migrated or saved (postmigrate): what is read is what stayed behind, "
           "and changes no more";
  return {};
}

}  // namespace vitrine
