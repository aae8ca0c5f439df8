// vitrine fvm: what vitrined does, and what it is told to do.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/commands/families.h"
#include "cli/evidence_stores.h"
#include "cli/fixed_view.h"
#include "evidence/reader.h"
#include "fvm/supervisor/control_socket.h"
#include "symptom/finding.h"

namespace vitrine::cli {
namespace {

using linux::Column;
using linux::ColumnType;
using Json = nlohmann::json;

enum : std::size_t {
  kGuest,
  kState,
  kIsolation,
  kFvm,
  kPhase,
  kPasses,
  kPass,
  kCpu,
  kStanding,
  kActions,
  kApplied,
  kTakeovers,
  kGap,
  kTrouble,
  kEntries,
  kRefused,
  kWaiting,
  kFvmPid,
  kGuardPid,
  kQemuPid,
  kRam,
  kEvents
};

constexpr Column kColumns[] = {
    {"guest", ColumnType::text, "its name: that of its QMP socket, or of libvirt's domain"},
    {"state", ColumnType::text, "watched, starting, UNWATCHED"},
    {"isolation", ColumnType::text, "what its FVM is"},
    {"fvm", ColumnType::integer, "number of its FVM since vitrined was started"},
    {"phase", ColumnType::text, "what the FVM does: attaching, no kernel, scanning, resting"},
    {"passes", ColumnType::integer, "that this FVM has finished"},
    {"pass", ColumnType::duration, "what its last pass took"},
    {"cpu", ColumnType::duration, "CPU time of the FVM", Column::hidden},
    {"standing", ColumnType::integer, "findings that stand"},
    {"actions", ColumnType::integer, "done by this guard"},
    {"applied", ColumnType::text, "what is done to the guest now: frozen, throttled, isolated"},
    {"takeovers", ColumnType::integer, "how often another FVM took over"},
    {"gap", ColumnType::duration, "how long nobody watched, the last time"},
    {"trouble", ColumnType::text, "why it is not watched"},
    {"entries", ColumnType::integer, "in its evidence store", Column::hidden},
    {"refused", ColumnType::integer, "findings and frames that were too many or broken",
     Column::hidden},
    {"waiting", ColumnType::integer, "entries that the disk does not take", Column::hidden},
    {"fvm_pid", ColumnType::integer, "of the FVM", Column::hidden},
    {"guard_pid", ColumnType::integer, "of the guard", Column::hidden},
    {"qemu_pid", ColumnType::integer, "of the guest", Column::hidden},
    {"ram", ColumnType::text, "how the FVM has the guest's memory", Column::hidden},
    {"events", ColumnType::text, "heard: it is looked at when something happens; else why not",
     Column::hidden},
};
constexpr linux::ViewInfo kInfo = {"fvms", "the guarded guests of this host", kColumns, "by name",
                                   "guest"};

Outcome<Json> ask(const Arguments& words, const Json& request) {
  const auto folder = words.value("--runtime").value_or("/run/vitrine");
  const auto reply = TRY(fvm::ask_supervisor(folder + "/control.sock", request.dump()));
  auto answer = Json::parse(reply, nullptr, false);
  if (!answer.is_object())
    return std::unexpected(Problem(Errc::protocol, "vitrined answered nonsense"));
  if (const auto error = answer.find("error"); error != answer.end() && error->is_string()) {
    return std::unexpected(
        Problem(Errc::not_found, error->get<std::string>(), answer.value("hint", "")));
  }
  return answer;
}

Outcome<Status> status(Context& context, const Arguments& words) {
  const auto answer = TRY(ask(words, {{"do", "status"}}));
  const auto guests = answer.find("guests");
  if (guests == answer.end() || !guests->is_array())
    return std::unexpected(Problem(Errc::protocol, "vitrined answered nonsense"));
  const auto number = [](const Json& guest, const char* key) {
    return guest.value(key, std::int64_t{0});
  };
  const auto milliseconds = [](const Json& guest, const char* key) {
    return static_cast<std::int64_t>(guest.value(key, 0.0) * 1e6);
  };
  const auto text = [](const Json& guest, const char* key) -> linux::Value {
    const auto value = guest.value(key, std::string());
    return value.empty() ? linux::Value() : linux::Value(value);
  };
  std::vector<std::string> detached;
  if (const auto held = answer.find("detached"); held != answer.end() && held->is_array()) {
    for (const auto& name : *held)
      if (name.is_string()) detached.push_back(name.get<std::string>());
  }
  if (words.operands.size() > 1) {
    const auto& name = words.operands[1];
    std::erase_if(detached, [&](const std::string& one) { return one != name; });
    const bool known = std::ranges::any_of(
        *guests, [&](const Json& guest) { return guest.value("guest", "") == name; });
    if (!known && detached.empty())
      return std::unexpected(Problem(Errc::not_found, fmt::format("no guest {} is watched", name),
                                     "vitrine fvm status lists them"));
  }
  bool all_watched = true;
  auto shown =
      TRY(run_fixed_view(kInfo, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
        for (const auto& guest : *guests) {
          if (words.operands.size() > 1 && guest.value("guest", "") != words.operands[1]) continue;
          all_watched = all_watched && guest.value("state", "") == "watched";
          rows.begin();
          for (const auto& [column, key] :
               {std::pair{kGuest, "guest"}, std::pair{kState, "state"},
                std::pair{kIsolation, "isolation"}, std::pair{kPhase, "phase"},
                std::pair{kApplied, "applied"}, std::pair{kTrouble, "trouble"},
                std::pair{kRam, "ram"}, std::pair{kEvents, "events"}}) {
            rows.set(column, text(guest, key));
          }
          for (const auto& [column, key] :
               {std::pair{kFvm, "fvm"}, std::pair{kPasses, "passes"},
                std::pair{kStanding, "standing"}, std::pair{kActions, "actions"},
                std::pair{kTakeovers, "takeovers"}, std::pair{kEntries, "entries"},
                std::pair{kRefused, "refused"}, std::pair{kWaiting, "waiting"},
                std::pair{kFvmPid, "fvm_pid"}, std::pair{kGuardPid, "guard_pid"},
                std::pair{kQemuPid, "qemu_pid"}}) {
            rows.set(column, number(guest, key));
          }
          for (const auto& [column, key] : {std::pair{kPass, "pass_ms"}, std::pair{kCpu, "cpu_ms"},
                                            std::pair{kGap, "last_gap_ms"}}) {
            rows.set(column, milliseconds(guest, key));
          }
          if (!rows.end()) break;
        }
        return {};
      }));
  const auto standby = answer.contains("standby") ? answer["standby"].size() : 0;
  context.console.remark(
      fmt::format("{} of {} standby FVMs are ready{}", standby, answer.value("standby_wanted", 0),
                  answer.value("draining", false) ? "; drained: no guest is watched" : ""));
  for (const auto& name : detached)
    context.console.remark(escape(
        fmt::format("{0} was detached: it is not watched until `vitrine fvm attach {0}`", name),
        context.console.charset));
  return all_watched ? shown : Status::doubtful;
}

/// What stands in each guest, by its evidence: findings whose last word is not "gone".
enum : std::size_t { kVGuest, kVSymptom, kVSeverity, kVSince, kVWords, kVEntry };
constexpr Column kVerdictColumns[] = {
    {"guest", ColumnType::text, "whose finding"},
    {"symptom", ColumnType::text, "what was found"},
    {"severity", ColumnType::text, "info, low, medium, high, critical"},
    {"since", ColumnType::time, "when it was found"},
    {"words", ColumnType::text, "what was seen"},
    {"entry", ColumnType::integer, "its entry: vitrine evidence show GUEST ENTRY"},
};
constexpr linux::ViewInfo kVerdicts = {"verdicts", "findings that stand", kVerdictColumns,
                                       "by guest and entry", "guest entry"};

Outcome<Status> verdicts(Context& context, const Arguments& words) {
  const auto said = words.value("--state");
  const auto state = said ? std::filesystem::path(*said) : default_state_folder();
  std::vector<std::filesystem::path> stores;
  if (words.operands.size() > 1) {
    stores.push_back(TRY(evidence_store(state, words.operands[1])));
  } else {
    stores = TRY(evidence_stores(state));
  }
  return run_fixed_view(kVerdicts, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
    for (const auto& path : stores) {
      const auto reader = TRY(evidence::Reader::open(path));
      std::map<std::string, evidence::StoredEntry> standing;
      TRY(reader.read(1, [&](const evidence::StoredEntry& stored) {
        if (stored.entry.kind == evidence::Kind::finding) standing[stored.entry.key] = stored;
        if (stored.entry.kind == evidence::Kind::gone) standing.erase(stored.entry.key);
        return true;
      }));
      std::map<std::uint64_t, const evidence::StoredEntry*> by_entry;
      for (const auto& [key, stored] : standing) by_entry[stored.link.sequence] = &stored;
      for (const auto& [sequence, stored] : by_entry) {
        const auto body = Json::parse(stored->entry.body, nullptr, false);
        rows.begin();
        rows.set(kVGuest, reader.guest());
        rows.set(kVSymptom, stored->entry.subject);
        rows.set(
            kVSeverity,
            std::string(symptom::name(static_cast<symptom::Severity>(stored->entry.severity))));
        rows.set(kVSince, stored->entry.moment.wall_ns);
        if (body.is_object() && body.contains("words") && body["words"].is_string())
          rows.set(kVWords, body["words"].get<std::string>());
        rows.set(kVEntry, static_cast<std::int64_t>(sequence));
        if (!rows.end()) return {};
      }
    }
    return {};
  });
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto& action = words.operands.front();
  if (action == "status") return status(context, words);
  if (action == "verdicts") return verdicts(context, words);
  const bool one = action == "detach" || action == "failover";
  if (!one && action != "attach" && action != "drain") {
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("fvm has no action \"{}\"", action),
                "there are status, verdicts, attach, detach, failover and drain"));
  }
  if (one && words.operands.size() < 2) {
    return std::unexpected(Problem(Errc::invalid, fmt::format("{} which guest?", action),
                                   "vitrine fvm status lists them"));
  }
  Json request = {{"do", action}};
  if (words.operands.size() > 1) request["guest"] = words.operands[1];
  const auto answer = TRY(ask(words, request));
  context.console.out.write(escape(answer.value("words", ""), context.console.charset) + "\n");
  return Status::done;
}

std::vector<Option> options() {
  auto all = fixed_view_options();
  all.push_back({"--runtime", "DIR", "vitrined's runtime folder (else /run/vitrine)", Words::path});
  all.push_back({"--state", "DIR",
                 "verdicts: vitrined's state folder (else $VITRINE_STATE, else /var/lib/vitrine)",
                 Words::path});
  return all;
}

}  // namespace

Command fvm_command() {
  return {
      .name = "fvm",
      .group = "Guard",
      .summary = "the watchers of this host's guests",
      .operands = {{.name = "ACTION",
                    .choices = {"status", "verdicts", "attach", "detach", "failover", "drain"}},
                   {"GUEST", Words::text, true}},
      .options = options(),
      .description =
          "vitrined watches each guest of its folder by a forensic virtual machine of its own. "
          "status says how each is "
          "watched, and ends with status 3 if one is not. verdicts lists the findings that stand. "
          "detach lets a guest "
          "be until attach; failover replaces its FVM now; drain lets all go until attach without "
          "a guest.",
      .examples = {"vitrine fvm status", "vitrine fvm verdicts web1", "vitrine fvm failover web1",
                   "vitrine fvm drain"},
      .run = run};
}

}  // namespace vitrine::cli
