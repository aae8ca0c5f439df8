// LabSource: an event source whose events a test makes.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "probe/event_source.h"
#include "vmipl/catalogue.h"

namespace vitrine::test {

class LabSource final : public probe::EventSource {
 public:
  explicit LabSource(std::string name = "lab") : name_(std::move(name)) {}

  /// What it says of the probes called `probe` ("Syscall"); all others it refuses.
  std::map<std::string, probe::Offer, std::less<>> offer_by_name;
  /// More probes than this are too much for it.
  std::size_t room = 1'000'000;
  /// What start() and replace() answer.
  std::optional<Problem> failure;
  probe::Losses lost;

  /// What was asked of it, in order: "start 0 2", "replace 1", "stop".
  std::vector<std::string> asked;
  probe::Assignment running;
  probe::EventSink* sink = nullptr;

  /// A possible offer in one word.
  static probe::Offer can(probe::CostClass cost,
                          probe::Coverage coverage = probe::Coverage::every) {
    return {true, cost, coverage, "by the lab", {}, {}};
  }

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::vector<probe::Offer> offers(const vmipl::Program& program) const override {
    std::vector<probe::Offer> out;
    for (const auto& probe : program.probes) {
      const auto found = offer_by_name.find(vmipl::probes()[probe.probe].name);
      out.push_back(found == offer_by_name.end()
                        ? probe::Offer::refuse(name_ + " cannot", "ask " + name_)
                        : found->second);
    }
    return out;
  }
  [[nodiscard]] std::vector<Excess> excess(
      const vmipl::Program&, const std::vector<std::uint32_t>& probes) const override {
    std::vector<Excess> out;
    for (std::size_t i = room; i < probes.size(); ++i)
      out.push_back({probes[i], probe::Offer::refuse("no room", "less")});
    return out;
  }
  [[nodiscard]] Outcome<void> start(probe::Assignment mine, probe::EventSink& into) override {
    note("start", mine);
    if (failure) return std::unexpected(*failure);
    running = std::move(mine);
    sink = &into;
    return {};
  }
  [[nodiscard]] Outcome<void> replace(probe::Assignment mine) override {
    note("replace", mine);
    if (failure) return std::unexpected(*failure);
    running = std::move(mine);
    return {};
  }
  void stop() noexcept override {
    if (sink == nullptr) return;
    asked.emplace_back("stop");
    sink = nullptr;
  }
  [[nodiscard]] probe::Losses losses() const override { return lost; }

 private:
  void note(std::string what, const probe::Assignment& mine) {
    for (const auto probe : mine.probes) what += ' ' + std::to_string(probe);
    asked.push_back(std::move(what));
  }
  std::string name_;
};

}  // namespace vitrine::test
