#include "probe/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "probe/block_needs.h"
#include "probe/words.h"

namespace vitrine::probe {
namespace {

// Smaller is better.
auto rank(const Offer& offer, const PlanOptions& options) {
  const bool partial = offer.coverage == Coverage::between;
  int step = partial ? 2 : 0;
  if (options.prefer_polling && !partial && offer.cost == CostClass::stop) step = 3;
  return std::tuple(!offer.possible, step, offer.cost);
}

void choose(PlannedProbe& probe, const std::vector<std::vector<Offer>>& offers,
            std::span<EventSource* const> sources, const PlanOptions& options) {
  probe.source.reset();
  probe.source_name.clear();
  std::optional<std::size_t> best;
  for (std::size_t s = 0; s < sources.size(); ++s) {
    const auto& offer = offers[s][probe.probe];
    if (!offer.possible) continue;
    if (!best || rank(offer, options) < rank(offers[*best][probe.probe], options)) best = s;
  }
  probe.others.clear();
  for (std::size_t s = 0; s < sources.size(); ++s) {
    if (s != best) probe.others.push_back({s, offers[s][probe.probe]});
  }
  if (best) {
    probe.source = best;
    probe.source_name = std::string(sources[*best]->name());
    probe.offer = offers[*best][probe.probe];
    return;
  }
  // The first source of the ladder that says what would make it possible speaks for all.
  probe.offer = Offer::refuse("no source of events is at hand", {});
  for (const auto& other : probe.others) {
    if (other.offer.reason.empty()) continue;
    if (probe.offer.remedy.empty() &&
        (!other.offer.remedy.empty() || probe.offer.reason.starts_with("no source")))
      probe.offer = other.offer;
  }
}

std::string lines_of(const std::vector<std::uint32_t>& lines) {
  auto sorted = lines;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return fmt::format("{} {}", sorted.size() == 1 ? "line" : "lines", fmt::join(sorted, ", "));
}

}  // namespace

std::string_view name(CostClass cost) noexcept {
  switch (cost) {
    case CostClass::none:
      return "none";
    case CostClass::at_event:
      return "at the event";
    case CostClass::every_access:
      return "every access";
    case CostClass::held:
      return "held";
    case CostClass::stop:
      return "stop";
  }
  return "?";
}

bool Plan::complete() const {
  return std::all_of(probes.begin(), probes.end(),
                     [](const PlannedProbe& probe) { return probe.source.has_value(); });
}

std::vector<std::uint32_t> Plan::of(std::size_t source) const {
  std::vector<std::uint32_t> out;
  for (const auto& probe : probes) {
    if (probe.source == source) out.push_back(probe.probe);
  }
  return out;
}

std::vector<Problem> Plan::refusals() const {
  std::vector<Problem> out;
  for (const auto& probe : probes) {
    if (probe.source) continue;
    out.push_back({Errc::unsupported,
                   fmt::format("line {}: {} cannot be had: {}", probe.line, probe.written,
                               probe.offer.reason),
                   probe.offer.remedy});
  }
  return out;
}

std::vector<std::string> Plan::warnings() const {
  struct Group {
    std::string source;
    std::vector<std::uint32_t> between, stops;
    std::uint64_t window_ns = 0;
  };
  std::vector<Group> groups;
  for (const auto& probe : probes) {
    if (!probe.source) continue;
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const Group& g) { return g.source == probe.source_name; });
    if (group == groups.end())
      group = groups.insert(groups.end(), Group{probe.source_name, {}, {}, 0});
    if (probe.offer.coverage == Coverage::between) {
      group->between.push_back(probe.line);
      group->window_ns = std::max(group->window_ns, probe.offer.window_ns);
    }
    if (probe.offer.cost == CostClass::stop) group->stops.push_back(probe.line);
  }
  std::vector<std::string> out;
  std::map<std::string, std::vector<std::uint32_t>> waiting;
  for (const auto& probe : probes) {
    if (probe.source && !probe.offer.waits.empty())
      waiting[probe.offer.waits].push_back(probe.line);
  }
  for (const auto& [words, lines] : waiting)
    out.push_back(fmt::format("{} ({})", words, lines_of(lines)));
  for (const auto& group : groups) {
    if (!group.between.empty()) {
      const auto window =
          group.window_ns == 0
              ? std::string()
              : fmt::format(", {} apart,",
                            duration_words(static_cast<std::int64_t>(group.window_ns)));
      out.push_back(fmt::format(
          "{} compares one look with the next: what begins and ends between two looks{} "
          "is missed ({})",
          group.source, window, lines_of(group.between)));
    }
    if (!group.stops.empty())
      out.push_back(fmt::format("{} stops the whole machine at each event, for milliseconds ({})",
                                group.source, lines_of(group.stops)));
  }
  return out;
}

Plan plan(const vmipl::Program& program, std::span<EventSource* const> sources,
          const PlanOptions& options, const AskOffers& ask) {
  std::vector<std::vector<Offer>> offers;
  for (const auto* source : sources) {
    offers.push_back(ask ? ask(*source) : source->offers(program));
    // A source that forgets a probe does not serve it.
    offers.back().resize(program.probes.size(), Offer::refuse("no answer"));
  }
  Plan plan;
  for (std::uint32_t i = 0; i < program.probes.size(); ++i) {
    auto& probe = plan.probes.emplace_back();
    probe.probe = i;
    probe.written = written(program.probes[i]);
    probe.line = program.probes[i].line;
    choose(probe, offers, sources, options);
  }
  // What is too much for a source goes to the next. Each round withdraws at least one offer, so it
  // ends.
  for (bool again = true; again;) {
    again = false;
    for (std::size_t s = 0; s < sources.size(); ++s) {
      for (auto& excess : sources[s]->excess(program, plan.of(s))) {
        if (excess.probe >= program.probes.size() || !offers[s][excess.probe].possible) continue;
        excess.refusal.possible = false;
        offers[s][excess.probe] = std::move(excess.refusal);
        choose(plan.probes[excess.probe], offers, sources, options);
        again = true;
      }
    }
  }
  return plan;
}

std::string describe(const Plan& plan) {
  std::size_t probe_width = 5, source_width = 6, cost_width = 4;
  for (const auto& probe : plan.probes) {
    probe_width = std::max(probe_width, std::min<std::size_t>(probe.written.size(), 40));
    source_width = std::max(source_width, probe.source ? probe.source_name.size() : 7);
    cost_width = std::max(cost_width, probe.source ? name(probe.offer.cost).size() : 1);
  }
  std::string out = fmt::format("{:>4}  {:{}}  {:{}}  {:{}}  {}\n", "line", "probe", probe_width,
                                "source", source_width, "cost", cost_width, "mechanism");
  for (const auto& probe : plan.probes) {
    const auto& offer = probe.offer;
    std::string words = probe.source ? offer.mechanism : offer.reason;
    if (probe.source && !offer.reason.empty()) words += fmt::format(" ({})", offer.reason);
    if (!probe.source && !offer.remedy.empty()) words += fmt::format("; {}", offer.remedy);
    out += fmt::format("{:>4}  {:{}}  {:{}}  {:{}}  {}\n", probe.line, probe.written, probe_width,
                       probe.source ? probe.source_name : "refused", source_width,
                       probe.source ? name(offer.cost) : "-", cost_width, words);
  }
  return out;
}

}  // namespace vitrine::probe
