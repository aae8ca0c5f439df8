// CurrentTasks: which task runs on which CPU, and which of the machine's processors that CPU is.
#pragma once

#include <optional>
#include <span>

#include "base/address.h"
#include "linux/field.h"
#include "x86/registers.h"

namespace vitrine::linux {

class Kernel;

class CurrentTasks {
 public:
  /// `kernel` must outlive this. What it does not have of it, nothing is said of.
  explicit CurrentTasks(const Kernel& kernel);

  /// This kernel says which task a CPU runs.
  [[nodiscard]] bool known() const noexcept { return variable_.has_value(); }

  /// The task_struct of the task that runs on `cpu` now; its idle task if it idles.
  [[nodiscard]] std::optional<Gva> on(unsigned cpu) const;

  /// The registers of `cpu` among those of all processors. The machine's processors are not
  /// numbered by the kernel: one that runs in the kernel tells which it is by its GS base;
  /// the rest are taken in order. nullptr: none, or not in long mode.
  [[nodiscard]] const x86::Registers* registers_of(std::span<const x86::Registers> all,
                                                   unsigned cpu) const;

  /// The CPUs that are online. Nothing if the kernel has no mask of them.
  [[nodiscard]] bool online(unsigned cpu) const;

 private:
  const Kernel& kernel_;
  std::optional<Gva> variable_;  // per-CPU
  std::optional<Gva> online_mask_;
};

}  // namespace vitrine::linux
