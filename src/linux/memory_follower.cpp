#include "linux/memory_follower.h"

#include <algorithm>

namespace vitrine::linux {
namespace {

constexpr std::chrono::seconds kAgain{1}, kAgainForEvents{10}, kAfterFailure{30};

bool in_map(const PhysicalMemory& ram, Gpa at) {
  return std::ranges::any_of(ram.ram(), [&](const GpaRange& range) { return range.contains(at); });
}

}  // namespace

MemoryFollower::MemoryFollower(const Machine& machine, const VirtualMemory& memory,
                               const WitnessedMemory& ram, Signs signs)
    : machine_(machine),
      memory_(memory),
      ram_(ram),
      signs_(signs),
      end_(number(signs.max_pfn, 0)),
      events_(number(signs.uevents, 0)),
      refused_(ram.refused()) {
  // Plugged since the machine was opened: as if the kernel had been given it just now.
  if (end_ != 0 && !in_map(ram, Gpa{(end_ - 1) * kPageSize})) end_ = 0;
}

std::uint64_t MemoryFollower::number(const std::optional<Gva>& at, std::uint64_t otherwise) const {
  return at ? memory_.load<std::uint64_t>(*at).value_or(otherwise) : 0;
}

void MemoryFollower::look() {
  const auto end_now = number(signs_.max_pfn, end_), events_now = number(signs_.uevents, events_),
             refused_now = ram_.refused();
  const bool moved = end_now != end_ || refused_now != refused_;
  if (!moved && events_now == events_) return;
  const auto now = Clock::now();
  if (now < (moved ? not_before_ : not_before_for_events_)) return;
  const bool answered = machine_.follow_memory().has_value();
  not_before_ = now + (answered ? kAgain : kAfterFailure);
  not_before_for_events_ = now + (answered ? kAgainForEvents : kAfterFailure);
  if (!answered) return;
  end_ = end_now;
  events_ = events_now;
  refused_ = refused_now;
}

}  // namespace vitrine::linux
