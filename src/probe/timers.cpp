#include "probe/timers.h"

#include <algorithm>
#include <chrono>

#include "probe/host_guest.h"

namespace vitrine::probe {

std::optional<Timers::Due> Timers::wait(std::unique_lock<std::mutex>& lock,
                                        std::condition_variable& wake) {
  const auto next = std::ranges::min_element(timers_, {}, &Timer::next_ns);
  if (next == timers_.end()) {
    wake.wait(lock);
    return std::nullopt;
  }
  const auto now = monotonic_now();
  if (now < next->next_ns) {
    wake.wait_for(lock, std::chrono::nanoseconds(next->next_ns - now));
    return std::nullopt;
  }
  const auto missed = (now - next->next_ns) / next->period_ns;
  next->next_ns += (missed + 1) * next->period_ns;
  return Due{next->probe, missed};
}

}  // namespace vitrine::probe
