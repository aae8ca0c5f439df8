// StackSampler: turns the registers of a machine's CPUs into counted stacks: the program's frames
// below the kernel's, under the thread's name.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/problem.h"
#include "linux/field.h"
#include "linux/kernel.h"
#include "linux/stack/user_stack.h"
#include "probe/profile/sampled_cpu.h"
#include "probe/profile/stack_counts.h"
#include "x86/registers.h"

namespace vitrine::probe {

/// What became of the samples.
struct SampleTally {
  std::uint64_t counted = 0;  ///< in the profile
  std::uint64_t idle = 0;     ///< the CPU was halted; in the profile only if that was asked for
  std::uint64_t torn = 0;     ///< registers and memory were not of one moment; left out
  std::uint64_t incomplete =
      0;  ///< of the counted ones: stacks that could not be walked to their end
};

/// Threads: one at a time.
class StackSampler {
 public:
  struct Options {
    bool idle = false;     ///< count halted CPUs, too
    bool user = true;      ///< programs' frames
    bool stopped = false;  ///< the machine stands still while samples are taken: none is torn
  };

  /// `kernel` must outlive it. Errors as Unwinder::open().
  [[nodiscard]] static Outcome<StackSampler> open(const linux::Kernel& kernel, Options options);

  /// One sample of each online CPU, from registers as they were a moment ago.
  void take(std::span<const x86::Registers> registers, StackCounts& into);

  [[nodiscard]] const SampleTally& tally() const { return tally_; }

  /// Mappings and modules may have changed; from time to time, as it makes samples dearer.
  void forget();

 private:
  StackSampler(const linux::Kernel& kernel, Options options, SampledCpu sampled)
      : kernel_(&kernel), options_(options), sampled_(std::move(sampled)) {}

  void take_one(const x86::Registers& registers, unsigned cpu, StackCounts& into);
  const std::string& name_of(const linux::StackFrame& frame);

  const linux::Kernel* kernel_;
  Options options_;
  SampledCpu sampled_;
  std::optional<linux::UserStacks> user_;
  linux::Field<std::string> comm_;
  std::map<std::pair<std::uint64_t, bool>, std::string> names_;
  SampleTally tally_;
};

}  // namespace vitrine::probe
