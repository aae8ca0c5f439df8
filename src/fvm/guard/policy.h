// Policy: what is done about a finding, as its owner wrote it down in TOML.
//
//   dry_run = false          # true: everything is written down, nothing is done
//   [severity]
//   info = ["log"]
//   high = ["log", "snapshot"]
//   critical = ["log", "snapshot", "freeze"]
//   [symptom.reverse_shell]  # for one symptom, in place of its severity's
//   actions = ["log", "isolate", "throttle"]
//   [throttle]
//   percent = 5              # of the time that the guest may run
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "symptom/finding.h"

namespace vitrine::fvm {

enum class Action : std::uint8_t {
  log,       ///< evidence alone: always done, whether named or not
  snapshot,  ///< the guest's memory into a file of its evidence folder
  freeze,    ///< no CPU runs until somebody says `cont`
  throttle,  ///< it runs for a small part of the time
  isolate,   ///< its network cards lose their link
  stop,      ///< its QEMU ends
};
[[nodiscard]] std::string_view name(Action action) noexcept;

struct Policy {
  bool dry_run = false;
  unsigned throttle_percent = 10;
  std::array<std::vector<Action>, 5> by_severity;
  std::map<std::string, std::vector<Action>, std::less<>> by_symptom;

  /// Log for all, log and snapshot for high, log, snapshot and freeze for critical; dry run.
  [[nodiscard]] static Policy usual();
  /// @param name  as messages show the file.
  /// @returns invalid  each mistake with its line: "policy.toml:7: there is no action \"frezze\";
  /// ..."
  [[nodiscard]] static Outcome<Policy> parse(std::string_view text, std::string_view name);

  /// In the order in which they are done: what keeps evidence last changes first.
  [[nodiscard]] std::vector<Action> actions(std::string_view symptom,
                                            symptom::Severity severity) const;
};

}  // namespace vitrine::fvm
