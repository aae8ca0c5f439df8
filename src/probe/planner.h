// The planner: each probe of a program to the cheapest source that can do it, whole.
//
// A plan is data. `vitrine check --vm` prints it, `vitrine run` obeys it: what was said is
// what runs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "probe/event_source.h"
#include "vmipl/program.h"

namespace vitrine::probe {

struct PlanOptions {
  /// The user asked for polling (--poll): it is taken wherever it offers, before a source that
  /// stops the machine.
  bool prefer_polling = false;
};

/// What a source that was not taken said.
struct OtherOffer {
  std::size_t source = 0;  ///< index into the sources given to plan()
  Offer offer;
};

struct PlannedProbe {
  std::uint32_t probe = 0;  ///< index into Program::probes
  std::string written;      ///< "Syscall(openat)"
  std::uint32_t line = 0;
  std::optional<std::size_t> source;  ///< index into the sources; nothing: refused by all
  std::string source_name;            ///< empty: refused
  Offer offer;                        ///< the one taken; or the best refusal there is
  std::vector<OtherOffer> others;     ///< in the order of the sources
};

struct Plan {
  std::vector<PlannedProbe> probes;  ///< in script order, all of them

  [[nodiscard]] bool complete() const;
  /// The probes given to a source, ascending.
  [[nodiscard]] std::vector<std::uint32_t> of(std::size_t source) const;
  /// A sentence for each probe that is refused: "line 4: MSRWrite cannot be had: ...".
  [[nodiscard]] std::vector<Problem> refusals() const;
  /// A sentence for each source that does less than see everything at no cost, to be said before
  /// it starts: "polling misses what begins and ends between two looks (lines 3, 9)".
  [[nodiscard]] std::vector<std::string> warnings() const;
};

/// How a source is asked for its offers, by whoever must do something about it first.
using AskOffers = std::function<std::vector<Offer>(const EventSource&)>;

/// `sources` stand in the order of the ladder, best first; none may be null. An offer that sees
/// every event comes before one that does not, then the cheaper, then the earlier source. Has no
/// effect on the guest. Cost: the sources' offers.
[[nodiscard]] Plan plan(const vmipl::Program& program, std::span<EventSource* const> sources,
                        const PlanOptions& options = {}, const AskOffers& ask = {});

/// For people: a line a probe with its mechanism, cost class and reason.
[[nodiscard]] std::string describe(const Plan& plan);

}  // namespace vitrine::probe
