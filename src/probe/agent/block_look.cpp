#include "probe/agent/block_look.h"

namespace vitrine::probe {
namespace {

// What holding the CPU would take anyway, about.
constexpr std::uint64_t kLookBudget = 10'000;

}  // namespace

BlockLook::BlockLook(const vmipl::Program& program, Environment& here, MapStore& maps)
    : here_(here), maps_(maps), interpreter_(program, *this) {}

bool BlockLook::may_act(unsigned probe) noexcept {
  asked_ = false;
  const auto firing = interpreter_.run(probe, *this, kLookBudget);
  return asked_ || firing.end != Firing::End::done;
}

}  // namespace vitrine::probe
