// AgentPlanner: what an agent can do for a program on this kernel, and the plan that does it.
//
// It turns names into addresses: symbols and globs, the kernel's system call entries and exits,
// the functions in the life of processes and modules, the gates of the interrupt table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/problem.h"
#include "linux/kernel.h"
#include "probe/agent/message.h"
#include "probe/agent/plan.h"
#include "probe/event_source.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// What can be had of one probe.
struct AgentOffer {
  Offer offer;
  AgentProbe probe;  ///< resolved; of no use if the offer is a refusal
};

/// Threads: one at a time, as the kernel.
class AgentPlanner {
 public:
  /// `kernel` must outlive this.
  AgentPlanner(const linux::Kernel& kernel, const Welcome& agent)
      : kernel_(kernel), agent_(agent) {}

  [[nodiscard]] AgentOffer look_at(const vmipl::Program& program, std::uint32_t probe) const;

  /// What tells the host that modules come and go. It belongs to no probe of the program.
  /// @returns not_found, unsupported  this kernel's way of loading modules is not known
  [[nodiscard]] Outcome<AgentProbe> module_watch() const;

 private:
  /// Both give a problem's words, or nothing.
  [[nodiscard]] std::optional<Offer> resolve(const vmipl::Program& program,
                                             const vmipl::ProgramProbe& probe, AgentProbe& into,
                                             Offer& offer) const;
  [[nodiscard]] std::optional<Offer> code_sites(const vmipl::ProgramProbe& probe, AgentProbe& into,
                                                std::string& words) const;
  [[nodiscard]] std::optional<Offer> return_sites(const vmipl::ProgramProbe& probe,
                                                  AgentProbe& into, std::string& words) const;
  [[nodiscard]] std::optional<Offer> access_range(const vmipl::ProgramProbe& probe,
                                                  AgentProbe& into, Offer& offer) const;
  [[nodiscard]] std::optional<Offer> calls(const vmipl::ProgramProbe& probe,
                                           AgentProbe& into) const;
  [[nodiscard]] std::optional<Offer> entries(AgentProbe& into, std::string& words) const;
  [[nodiscard]] std::optional<Offer> results(AgentProbe& into, std::string& words) const;
  [[nodiscard]] std::optional<Offer> life(std::string_view name, AgentProbe& into,
                                          std::string& words) const;
  [[nodiscard]] std::optional<Offer> vectors(const vmipl::ProgramProbe& probe, bool exceptions,
                                             AgentProbe& into, std::string& words) const;
  [[nodiscard]] std::optional<Offer> tables(bool interrupts, AgentProbe& into) const;

  /// Where the module that the probe names is not there: the offer, which says that it waits, or
  /// why it cannot.
  [[nodiscard]] std::optional<Offer> waits_for_module(const vmipl::ProgramProbe& probe,
                                                      Offer& offer) const;
  [[nodiscard]] std::optional<std::uint64_t> symbol(std::string_view name) const;
  [[nodiscard]] std::optional<Offer> add_exits(std::uint64_t function, std::uint64_t detail,
                                               bool with_entry, AgentProbe& into) const;

  const linux::Kernel& kernel_;
  Welcome agent_;
};

}  // namespace vitrine::probe
