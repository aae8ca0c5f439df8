// RunSession: a script whose guest is started anew: from one kernel to the next.
#include <fmt/format.h>

#include <algorithm>

#include "probe/run_generation.h"

namespace vitrine::probe {
namespace {

bool holds_stacks(const vmipl::MapInfo& map) {
  return map.value == vmipl::ValueType::stack ||
         std::ranges::find(map.keys, vmipl::ValueType::stack) != map.keys.end();
}

/// The lines of probes that name a place of a kernel by its number: it means nothing in the next.
std::vector<std::uint32_t> numbered_places(const vmipl::Program& program) {
  std::vector<std::uint32_t> lines;
  for (const auto& probe : program.probes) {
    const auto name = vmipl::probes()[probe.probe].name;
    const bool takes_place = name == "ExecuteAt" || name == "Return" || name.ends_with("At");
    if (!takes_place || probe.arguments.empty()) continue;
    const auto& place = probe.arguments.front();
    if (place.kind == vmipl::ProbeArgument::number && place.number_value >> 63 != 0)
      lines.push_back(probe.line);
  }
  return lines;
}

}  // namespace

Outcome<void> RunSession::leave_kernel() {
  if (away_since_ns_) return {};
  // Without the lock: sources wait for firings that are under way.
  for (auto* source : started_) {
    if (!source->outlives_kernel()) source->stop();
  }
  const std::lock_guard lock(run_mutex_);
  if (!current_) return {};
  if (!kernel_gone_) gone_ns_ = monotonic_now();
  kernel_gone_ = true;
  settle(~0ULL);  // by the names that the old kernel has
  TRY(keep_maps(*current_));
  for (auto* source : started_) {
    if (!source->outlives_kernel()) losses_before_.emplace_back(source->name(), source->losses());
  }
  const auto gone = [](const EventSource* source) { return !source->outlives_kernel(); };
  std::erase_if(started_, gone);
  std::erase_if(sources_, gone);
  away_since_ns_ = gone_ns_;
  return {};
}

Outcome<void> RunSession::keep_maps(Generation& generation) {
  const auto& program = *generation.program;
  for (unsigned i = 0; i < program.maps.size(); ++i) {
    if (!holds_stacks(program.maps[i]) || generation.maps->length(i) == 0) continue;
    remark(
        fmt::format("! @{} holds stacks of the kernel that ended: it is printed, and begins anew",
                    program.maps[i].name));
    print_map(generation, i, std::nullopt);
    generation.maps->clear(i);
  }
  if (generation.own_maps) return {};
  auto own = TRY(LocalMaps::create(program.maps, options_.maps));
  for (unsigned i = 0; i < program.maps.size(); ++i) own->restore(i, generation.maps->save(i));
  generation.own_maps = std::move(own);
  generation.maps = generation.own_maps.get();
  generation.interpreter = std::make_unique<Interpreter>(program, *generation.maps);
  return {};
}

void RunSession::hand_over_maps(Generation& from, Generation& to) {
  const auto& before = from.program->maps;
  const auto& after = to.program->maps;
  for (unsigned i = 0; i < before.size(); ++i) {
    const auto same = std::ranges::find(after, before[i]);
    if (same != after.end()) {
      to.maps->restore(static_cast<unsigned>(same - after.begin()), from.maps->save(i));
      continue;
    }
    remark(fmt::format("! @{} holds other types on this kernel: it is printed, and begins anew",
                       before[i].name));
    print_map(from, i, std::nullopt);
  }
}

// What goes on gets its share of the next program, the others are started. Where one refuses, all
// is as it was.
Outcome<void> RunSession::start_sources(Generation& next) {
  entering_ = next.program.get();
  std::vector<EventSource*> begun;
  std::vector<std::size_t> taken;
  Outcome<void> failed{};
  for (std::size_t i = 0; i < sources_.size() && failed; ++i) {
    auto probes = next.plan.of(i);
    const bool runs = std::ranges::find(started_, sources_[i]) != started_.end();
    if (!runs && probes.empty()) continue;
    Assignment mine{next.program, std::move(probes)};
    failed = asking(*sources_[i], [&] {
      return runs ? sources_[i]->replace(std::move(mine))
                  : sources_[i]->start(std::move(mine), *this);
    });
    if (!failed) continue;
    if (runs)
      taken.push_back(i);
    else
      begun.push_back(sources_[i]);
  }
  if (!failed) {
    entered();  // firings of what does not come are let go, lest their sources wait for them
    without_lock([&] {
      for (auto* source : begun) source->stop();
    });
    for (const auto i : taken) {
      auto back = asking(*sources_[i], [&] {
        return sources_[i]->replace({current_->program, current_->plan.of(i)});
      });
      if (!back) remark(fmt::format("! {}: {}", sources_[i]->name(), back.error().message));
    }
    return failed;
  }
  started_.insert(started_.end(), begun.begin(), begun.end());
  return {};
}

Outcome<void> RunSession::enter_kernel(HostGuest guest, std::vector<EventSource*> sources,
                                       ActionRunner* actions,
                                       std::shared_ptr<const vmipl::Program> program) {
  const std::lock_guard lock(run_mutex_);
  if (!current_ || !away_since_ns_)
    return std::unexpected(Problem(Errc::invalid, "the script has its kernel"));
  auto guest_before = use_guest(std::move(guest));
  auto* const actions_before = std::exchange(actions_, actions);
  sources.push_back(&clock_);
  const auto sources_before = std::exchange(sources_, std::move(sources));
  const auto plan_before = current_->plan.warnings();
  auto next = [&]() -> Outcome<std::unique_ptr<Generation>> {
    use_settings(*program);
    auto made = TRY(prepare(std::move(program)));
    hand_over_maps(*current_, *made);
    if (made->counts.size() == current_->counts.size()) made->counts = current_->counts;
    receive(*made);
    if (auto begun = start_sources(*made); !begun) {
      receive(*current_);
      return std::unexpected(std::move(begun.error()));
    }
    return made;
  }();
  if (!next) {
    (void)use_guest(std::move(*guest_before));
    actions_ = actions_before;
    sources_ = sources_before;
    return std::unexpected(std::move(next.error()));
  }
  for (const auto& words : (*next)->plan.warnings()) {
    if (std::ranges::find(plan_before, words) == plan_before.end()) remark("! " + words);
  }
  for (const auto line : numbered_places(*(*next)->program)) {
    if (guest_before->kernel.identity().text == guest_->kernel.identity().text) break;
    remark(
        fmt::format("! line {}: its address is one of the kernel that ended: this one lies "
                    "elsewhere, and something else is there",
                    line));
  }
  outputs_.commit(*(*next)->program);
  current_ = std::move(*next);
  entered();
  const auto unseen = monotonic_now() - *away_since_ns_;
  away_since_ns_.reset();
  away_ns_ += unseen;
  ++away_times_;
  kernel_gone_ = false;
  const auto& release = guest_->kernel.identity().release;
  const auto seconds = static_cast<double>(unseen) / 1e9;
  auto more =
      fmt::format(",\"kind\":\"guest_again\",\"unseen_seconds\":{:.3f},\"release\":", seconds);
  (void)options_.rules.json(more, release);
  remark(
      fmt::format("! the script goes on with Linux {}: what happened in the {:.1f} s between was "
                  "not seen",
                  options_.rules.escape(release), seconds),
      more);
  return {};
}

}  // namespace vitrine::probe
