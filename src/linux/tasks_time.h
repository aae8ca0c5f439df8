// Times of tasks: what they used of the CPU, and when they started.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "linux/field.h"

namespace vitrine::linux {

class Kernel;

/// Nanoseconds.
struct CpuTime {
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  bool operator==(const CpuTime&) const = default;
};

/// What /proc tells of CPU time: the exact run time, divided as the ticks that hit user
/// and kernel mode were, and never less than was told before.
///
/// @param ticks    utime and stime, which grow by a tick at a time
/// @param runtime  sum_exec_runtime, exact
/// @param told     prev_cputime: what the kernel answered last
/// Source: cputime_adjust() in kernel/sched/cputime.c, 5.8 to 7.3; kernels that count
/// natively (CONFIG_VIRT_CPU_ACCOUNTING_NATIVE) are not x86.
[[nodiscard]] CpuTime adjusted_cpu_time(CpuTime ticks, std::uint64_t runtime,
                                        CpuTime told) noexcept;

/// When the guest booted, by its own clock.
///
/// Field paths: timekeeper.offs_real, offs_boot, of tk_core (timekeeper_data since 6.17).
class BootClock {
 public:
  /// What a view says whose `started` stays empty for it.
  static constexpr const char* kUnreadable =
      "started: the kernel's clock cannot be read, or contradicts itself";

  /// @returns not_found  the symbol or member without which this kernel's timekeeper is not found
  [[nodiscard]] static Outcome<BootClock> open(const Kernel& kernel);

  /// Nanoseconds since 1970 UTC at which CLOCK_BOOTTIME was 0: add a start time to it.
  /// What /proc/stat calls btime, in seconds. Nothing if it cannot be read.
  [[nodiscard]] std::optional<std::int64_t> boot_time() const;

 private:
  const VirtualMemory* memory_ = nullptr;
  Gva timekeeper_;
  Field<std::int64_t> real_, boot_;
};

}  // namespace vitrine::linux
