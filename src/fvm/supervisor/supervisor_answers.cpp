// What the supervisor answers to `vitrine fvm`.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fvm/supervisor/supervisor.h"
#include "fvm/verdict/message.h"

namespace vitrine::fvm {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}
std::string refusal(std::string_view words, std::string_view hint = "") {
  return dump({{"error", words}, {"hint", hint}});
}

Phase phase_of(std::uint32_t value) {
  return value > static_cast<std::uint32_t>(Phase::resting) ? Phase::standby
                                                            : static_cast<Phase>(value);
}

std::string applied_words(std::uint32_t bits) {
  std::string words;
  for (const auto& [bit, word] : {std::pair{1U, "frozen"}, std::pair{2U, "throttled"},
                                  std::pair{4U, "isolated"}, std::pair{8U, "snapshot"}}) {
    if ((bits & bit) == 0) continue;
    if (!words.empty()) words += ' ';
    words += word;
  }
  return words;
}

}  // namespace

std::string Supervisor::status() const {
  Json guests = Json::array();
  for (const auto& [name, guest] : guests_) {
    const auto& status = guest->status;
    const bool watched = guest->stage == Stage::watched;
    guests.push_back({{"guest", name},
                      {"state", watched                  ? "watched"
                                : guest->trouble.empty() ? "starting"
                                                         : "UNWATCHED"},
                      {"isolation", fvm::name(guest->isolation)},
                      {"fvm", guest->fvm ? guest->fvm->number : 0},
                      {"fvm_pid", guest->fvm ? guest->fvm->process.pid : 0},
                      {"guard_pid", guest->guard ? guest->guard->pid : 0},
                      {"qemu_pid", guest->monitor.pid},
                      {"phase", watched ? fvm::name(phase_of(status.phase)) : "-"},
                      {"kernel", status.attached != 0},
                      {"passes", status.passes},
                      {"pass_ms", static_cast<double>(status.pass_ns) / 1e6},
                      {"cpu_ms", static_cast<double>(status.cpu_ns) / 1e6},
                      {"longest_silence_ms", static_cast<double>(status.longest_silence_ns) / 1e6},
                      {"kept_waiting_ms", static_cast<double>(status.kept_waiting_ns) / 1e6},
                      {"standing", status.standing},
                      {"findings", status.findings},
                      {"actions", status.actions},
                      {"applied", applied_words(status.applied)},
                      {"refused", status.refused},
                      {"waiting", status.waiting},
                      {"entries", status.entries},
                      {"takeovers", guest->takeovers},
                      {"last_gap_ms", guest->last_gap_ms},
                      {"events", guest->herald > 0 ? "heard" : guest->herald_trouble},
                      {"ram", guest->ram ? guest->ram->how : ""},
                      {"trouble", guest->trouble}});
  }
  Json standby = Json::array(), up = Json::array();
  for (const auto& fvm : pool_) {
    standby.push_back(fvm.process.pid);
    if (fvm.isolation == Isolation::process || fvm.drained > 0) up.push_back(fvm.process.pid);
  }
  return dump({{"guests", std::move(guests)},
               {"standby", std::move(standby)},
               {"standby_up", std::move(up)},
               {"standby_wanted", config_.standby},
               {"super_pid", super_ ? super_->pid : 0},
               {"super_rounds", super_rounds_},
               {"super_starts", super_starts_},
               {"draining", draining_},
               {"detached", held_},
               {"pid", ::getpid()}});
}

std::string Supervisor::answer(std::string_view request) {
  const auto json = Json::parse(request, nullptr, false);
  const auto text = [&](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() && found->is_string() ? found->get<std::string>()
                                                                         : std::string();
  };
  const auto what = text("do"), name = text("guest");
  if (what == "status") return status();
  if (what == "drain") {
    draining_ = true;
    for (auto& [key, guest] : guests_) let_go(*guest, "drained");
    guests_.clear();
    for (auto& fvm : pool_) destroy(fvm);
    pool_.clear();
    return dump(
        {{"words", "no guest is watched any more, and none will be until `vitrine fvm attach`"}});
  }
  if (what == "attach") {
    draining_ = false;
    if (name.empty()) {
      held_.clear();
    } else {
      const auto held = held_.find(name);
      if (held == held_.end() && guests_.contains(name))
        return dump({{"words", fmt::format("{} is watched already", name)}});
      if (held != held_.end()) held_.erase(held);
    }
    next_scan_ = {};
    return dump(
        {{"words", name.empty() ? std::string("every guest is watched again")
                                : fmt::format("{} is watched as soon as it is there", name)}});
  }
  const auto guest = guests_.find(name);
  if (what == "detach" || what == "failover") {
    if (guest == guests_.end() && held_.contains(name))
      return refusal(fmt::format("{} was detached", name),
                     fmt::format("vitrine fvm attach {} has it watched again", name));
    if (guest == guests_.end()) {
      return refusal(
          name.empty() ? std::string("which guest?") : fmt::format("no guest {} is watched", name),
          "vitrine fvm status lists them");
    }
    if (what == "detach") {
      let_go(*guest->second, "detached by an operator");
      guests_.erase(guest);
      held_.insert(name);
      return dump(
          {{"words", fmt::format("{} is not watched until `vitrine fvm attach {}`", name, name)}});
    }
    if (!guest->second->fvm)
      return refusal(fmt::format("{} has no FVM at the moment", name), guest->second->trouble);
    const auto now = std::chrono::steady_clock::now();
    fvm_lost(*guest->second, Cause::asked, now, now);
    return dump({{"words", fmt::format("{}: another FVM takes over", name)}});
  }
  return refusal(fmt::format("vitrined cannot \"{}\"", what));
}

}  // namespace vitrine::fvm
