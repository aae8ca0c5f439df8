#include "linux/memory_follower.h"

namespace vitrine::linux {
namespace {

constexpr std::chrono::seconds kAgain{1}, kAfterFailure{30};

}  // namespace

MemoryFollower::MemoryFollower(const Machine& machine, const VirtualMemory& memory,
                               const WitnessedMemory& ram, std::optional<Gva> max_pfn)
    : machine_(machine),
      memory_(memory),
      ram_(ram),
      max_pfn_(max_pfn),
      end_(end()),
      refused_(ram.refused()) {}

std::uint64_t MemoryFollower::end() const {
  return max_pfn_ ? memory_.load<std::uint64_t>(*max_pfn_).value_or(end_) : 0;
}

void MemoryFollower::look() {
  const std::uint64_t end_now = end(), refused_now = ram_.refused();
  if (end_now == end_ && refused_now == refused_) return;
  const auto now = Clock::now();
  if (now < not_before_) return;
  const bool answered = machine_.follow_memory().has_value();
  not_before_ = now + (answered ? kAgain : kAfterFailure);
  if (!answered) return;
  end_ = end_now;
  refused_ = refused_now;
}

}  // namespace vitrine::linux
