#include "linux/views/kernel_clock.h"

#include "linux/kernel.h"
#include "linux/timekeeper.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {
namespace {

constexpr int kAttempts = 32;
constexpr std::int64_t kMaxTime = std::int64_t{1} << 62;

}  // namespace

// Source: kernel/time/timekeeping.c: timekeeping_get_ns(), getboottime64().
Outcome<KernelClock> KernelClock::open(const Kernel& kernel) {
  const auto& types = kernel.types();
  KernelClock clock;
  FieldBinder bind(types);
  bind(clock.base_, "timekeeper.tkr_mono.base");
  bind(clock.fraction_, "timekeeper.tkr_mono.xtime_nsec");
  bind(clock.shift_, "timekeeper.tkr_mono.shift");
  bind(clock.offs_real_, "timekeeper.offs_real");
  bind(clock.offs_boot_, "timekeeper.offs_boot");
  TRY(bind.done());
  clock.span_ = Span::covering(clock.base_, clock.fraction_, clock.shift_, clock.offs_real_,
                               clock.offs_boot_);

  const auto place = TRY(find_timekeeper(kernel));
  clock.sequence_ = place.sequence;
  clock.timekeeper_ = place.timekeeper;
  return clock;
}

Result<KernelClock::Moment> KernelClock::read(const VirtualMemory& memory) const {
  Snapshot copy(span_);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto before = TRY(memory.load<std::uint32_t>(sequence_));
    TRY(copy.load(memory, timekeeper_));
    const auto after = TRY(memory.load<std::uint32_t>(sequence_));
    if (before != after || (before & 1) != 0) continue;
    const auto shift = TRY(shift_.read(copy));
    const auto base = TRY(base_.read(copy));
    const auto real = TRY(offs_real_.read(copy));
    const auto boot = TRY(offs_boot_.read(copy));
    const auto plausible = [](std::int64_t time) { return time > -kMaxTime && time < kMaxTime; };
    if (shift > 63 || !plausible(base) || !plausible(real) || !plausible(boot)) {
      return fail(Errc::implausible, timekeeper_.value, "timekeeper");
    }
    Moment moment;
    moment.monotonic_ns =
        base + static_cast<std::int64_t>(TRY(fraction_.read(copy)) >> shift & 0xffff'ffff);
    moment.since_boot_ns = moment.monotonic_ns + boot;
    moment.boot_time_ns = real - boot;
    moment.retries = static_cast<std::size_t>(attempt);
    return moment;
  }
  return fail(Errc::torn, sequence_.value, "timekeeper");
}

}  // namespace vitrine::linux
