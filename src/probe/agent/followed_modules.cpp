#include "probe/agent/followed_modules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "probe/named_places.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kMostComing = 1024;

ModuleStage stage_of(const Held& held) {
  return held.fields.empty() ? ModuleStage::initialized
                             : static_cast<ModuleStage>(held.fields[0].number);
}

std::string module_of(const Held& held) {
  return held.fields.size() > 1 ? held.fields[1].text : std::string();
}

std::string lines_of(const std::set<std::uint32_t>& lines) {
  return fmt::format("{} {}", lines.size() == 1 ? "line" : "lines", fmt::join(lines, ", "));
}

}  // namespace

void FollowedModules::begin(std::shared_ptr<const vmipl::Program> program, const AgentPlan& plan) {
  const std::lock_guard lock(mutex_);
  program_ = std::move(program);
  followed_.clear();
  coming_.clear();
  for (std::uint32_t i = 0; i < plan.probes.size(); ++i) {
    const auto& probe = plan.probes[i];
    if (probe.probe >= program_->probes.size()) continue;
    const auto of_module = followed_module(program_->probes[probe.probe]);
    if (!of_module) continue;
    followed_.push_back(
        {i, probe.probe, std::string(of_module->module), {i, probe.sites, probe.ranges}});
    std::ranges::replace(followed_.back().module, '-', '_');
  }
}

bool FollowedModules::follows(std::string_view module) const {
  return std::ranges::any_of(followed_, [&](const Followed& one) { return one.module == module; });
}

bool FollowedModules::concerns(const Held& held) {
  const std::lock_guard lock(mutex_);
  const auto stack = held.registers.gpr[x86::kRsp];
  if (stage_of(held) == ModuleStage::initialized) return coming_.erase(stack) != 0;
  const auto module = module_of(held);
  if (!follows(module)) return false;
  if (stage_of(held) == ModuleStage::comes && coming_.size() < kMostComing) coming_[stack] = module;
  return true;
}

FollowedModules::Change FollowedModules::look(const Held* held) {
  const std::lock_guard lock(mutex_);
  Change change;
  const auto stage = held != nullptr ? stage_of(*held) : ModuleStage::comes;
  const auto going = stage == ModuleStage::goes ? module_of(*held) : std::string();
  struct Places {
    std::size_t count = 0;
    std::set<std::uint32_t> lines;
  };
  std::map<std::string, Places> came, went;
  for (auto& one : followed_) {
    AgentAim next{one.index, {}, {}};
    const auto line = program_->probes[one.probe].line;
    if (one.module != going) {
      auto found = planner_.look_at(*program_, one.probe);
      // What was only for its start is gone after that.
      const auto& why = found.offer.possible ? found.offer.waits : found.offer.reason;
      if (!why.empty() && held != nullptr && stage == ModuleStage::comes &&
          one.module == module_of(*held))
        change.words.push_back(fmt::format("line {}: {}", line, why));
      next.sites = std::move(found.probe.sites);
      next.ranges = std::move(found.probe.ranges);
    }
    if (next == one.now) continue;
    const bool had = !one.now.sites.empty() || !one.now.ranges.empty();
    const auto has = next.sites.size() + next.ranges.size();
    if (!had || one.module == going) {
      auto& told = (has != 0 ? came : went)[one.module];
      told.count += has;
      told.lines.insert(line);
    }
    one.now = next;
    change.aims.push_back(std::move(next));
  }
  for (const auto& [module, told] : came) {
    change.words.push_back(fmt::format("the module {} is loaded: {} place{} in it {} watched ({})",
                                       module, told.count, told.count == 1 ? "" : "s",
                                       told.count == 1 ? "is" : "are", lines_of(told.lines)));
  }
  for (const auto& [module, told] : went) {
    change.words.push_back(
        fmt::format("the module {} is unloaded: nothing fires until it is loaded again ({})",
                    module, lines_of(told.lines)));
  }
  return change;
}

}  // namespace vitrine::probe
