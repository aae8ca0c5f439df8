#include "linux/tasks_time.h"

#include "linux/kernel.h"
#include "linux/timekeeper.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {

CpuTime adjusted_cpu_time(CpuTime ticks, std::uint64_t runtime, CpuTime told) noexcept {
  __extension__ using Wide = unsigned __int128;
  if (told.user + told.system >= runtime) return told;
  std::uint64_t system = ticks.system;
  if (ticks.system == 0) {
    system = 0;
  } else if (ticks.user == 0) {
    system = runtime;
  } else {
    // Forged ticks may wrap their sum to 0 or below a part of it.
    const Wide sum = Wide{ticks.system} + ticks.user;
    system = static_cast<std::uint64_t>(Wide{ticks.system} * runtime / sum);
  }
  if (system < told.system) system = told.system;
  if (system > runtime) system = runtime;
  std::uint64_t user = runtime - system;
  if (user < told.user) {
    user = told.user;
    system = runtime - user;
  }
  return {user, system};
}

Outcome<BootClock> BootClock::open(const Kernel& kernel) {
  BootClock clock;
  clock.memory_ = &kernel.memory();
  clock.timekeeper_ = TRY(find_timekeeper(kernel)).timekeeper;
  FieldBinder bind(kernel.types());
  bind(clock.real_, "timekeeper.offs_real");
  bind(clock.boot_, "timekeeper.offs_boot");
  TRY(bind.done());
  return clock;
}

std::optional<std::int64_t> BootClock::boot_time() const {
  const auto real = real_.read(*memory_, timekeeper_);
  const auto boot = boot_.read(*memory_, timekeeper_);
  std::int64_t time = 0;
  if (!real || !boot || __builtin_sub_overflow(*real, *boot, &time) || time < 0)
    return std::nullopt;
  return time;
}

}  // namespace vitrine::linux
