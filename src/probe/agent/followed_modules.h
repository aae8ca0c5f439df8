// FollowedModules: the probes of a program that name a module, through its coming and going.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "probe/agent/agent_planner.h"
#include "probe/agent/message.h"
#include "probe/agent/plan.h"

namespace vitrine::probe {

/// Threads: any. look() only where nobody else looks at the kernel (EventSink::modules_changed).
class FollowedModules {
 public:
  explicit FollowedModules(const AgentPlanner& planner) : planner_(planner) {}

  /// The program that runs from now on, as the agent has it.
  void begin(std::shared_ptr<const vmipl::Program> program, const AgentPlan& plan);

  /// Of an event of AgentPlanner::module_watch(): whether a module comes or goes that is followed.
  [[nodiscard]] bool concerns(const Held& held);
  /// What is to be done about it: probes that are elsewhere now, and what to tell.
  /// @param held  the event that concerns(); null: whatever happened meanwhile
  struct Change {
    std::vector<AgentAim> aims;
    std::vector<std::string> words;
  };
  [[nodiscard]] Change look(const Held* held);

 private:
  struct Followed {
    std::uint32_t index, probe;  ///< in the agent's plan, in the program
    std::string module;
    AgentAim now;
  };
  [[nodiscard]] bool follows(std::string_view module) const;

  const AgentPlanner& planner_;
  std::mutex mutex_;
  std::shared_ptr<const vmipl::Program> program_;
  std::vector<Followed> followed_;
  /// Modules that begin to load, by the stack on which they do: it is the same where that ends.
  std::map<std::uint64_t, std::string> coming_;
};

}  // namespace vitrine::probe
