// The guest's own clock, as its timekeeping last wrote it down.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"

namespace vitrine::linux {

class Kernel;

/// Reads the core timekeeper under its sequence counter.
///
/// What it gives is the time of the last tick that updated timekeeping: a reader inside adds
/// what its clock source has counted since, which cannot be read from RAM. A CPU that is
/// busy ticks every 1/HZ s; when all are idle, NO_HZ puts that off, for seconds at most.
class KernelClock {
 public:
  struct Moment {
    std::int64_t monotonic_ns = 0;   ///< CLOCK_MONOTONIC
    std::int64_t since_boot_ns = 0;  ///< CLOCK_BOOTTIME: sleep included; /proc/uptime
    std::int64_t boot_time_ns = 0;   ///< when it booted, since 1970 UTC; /proc/stat's btime
    std::size_t retries = 0;
  };

  /// @returns not_found  the kernel has no such clock, or no types; the message names what is
  /// missing
  [[nodiscard]] static Outcome<KernelClock> open(const Kernel& kernel);

  /// @returns torn         it was being written whenever we looked
  /// @returns implausible  it is not a clock
  [[nodiscard]] Result<Moment> read(const VirtualMemory& memory) const;

 private:
  Gva sequence_, timekeeper_;
  Field<std::int64_t> base_, offs_real_, offs_boot_;
  Field<std::uint64_t> fraction_;
  Field<std::uint32_t> shift_;
  Span span_;
};

}  // namespace vitrine::linux
