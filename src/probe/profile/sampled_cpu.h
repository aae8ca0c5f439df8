// SampledCpu: what a CPU was doing, from registers that were read a moment ago while the guest
// runs on: its task and its stack, if they still are of one moment.
#pragma once

#include <optional>

#include "base/problem.h"
#include "linux/current_tasks.h"
#include "linux/field.h"
#include "linux/kernel.h"
#include "linux/stack/unwind.h"
#include "x86/registers.h"

namespace vitrine::probe {

/// Threads: one at a time, as the kernel.
class SampledCpu {
 public:
  struct Seen {
    Gva task;
    linux::KernelStack stack;
  };

  /// `kernel` must outlive it. Errors as Unwinder::open().
  /// @param stopped  the machine stands still while it is looked at: nothing is torn
  [[nodiscard]] static Outcome<SampledCpu> open(const linux::Kernel& kernel, bool stopped);

  /// @returns nothing  another task runs there by now, or the stack was overwritten meanwhile
  [[nodiscard]] std::optional<Seen> look(const x86::Registers& registers, unsigned cpu) const;

  [[nodiscard]] const linux::CurrentTasks& current() const { return current_; }
  /// Modules may have changed.
  void forget() { unwinder_.forget(); }

 private:
  SampledCpu(const linux::Kernel& kernel, bool stopped, linux::Unwinder unwinder)
      : kernel_(&kernel), stopped_(stopped), unwinder_(std::move(unwinder)), current_(kernel) {}
  [[nodiscard]] bool same_space(const x86::Registers& registers, Gva task) const;

  const linux::Kernel* kernel_;
  bool stopped_;
  linux::Unwinder unwinder_;
  linux::CurrentTasks current_;
  linux::Field<Gva> mm_;
};

}  // namespace vitrine::probe
