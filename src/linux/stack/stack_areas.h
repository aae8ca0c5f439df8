// StackAreas: where a kernel's stacks lie: one for each task, and several for each CPU.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"

namespace vitrine::linux {

class Kernel;

enum class StackKind : std::uint8_t {
  none,
  task,
  interrupt,
  double_fault,
  nmi,
  debug,
  machine_check,
  vmm,
  vmm_fallback,
  entry
};
/// "task", "irq", "df", "nmi", "db", "mce", "vc", "vc2", "entry"; "none" for no known stack.
[[nodiscard]] std::string_view name(StackKind kind) noexcept;

struct StackArea {
  StackKind kind = StackKind::none;
  Gva start;
  std::uint64_t size = 0;
  [[nodiscard]] bool contains(Gva at) const { return at - start < size; }
  [[nodiscard]] Gva end() const { return start + size; }
};

class StackAreas {
 public:
  /// @returns not_found  a kernel without BTF, or without task_struct.stack. What is missing
  ///   of the CPUs' stacks makes them unknown, not an error.
  [[nodiscard]] static Outcome<StackAreas> open(const Kernel& kernel);

  /// A task's own stack.
  /// @returns not_found    it has none any more: a zombie
  /// @returns implausible  not in the kernel's half. Errors as VirtualMemory::read.
  [[nodiscard]] Result<StackArea> of_task(Gva task) const;
  /// Is `sp` on some task's stack of `size` bytes? Told by the mark that the kernel keeps at the
  /// end of each (STACK_END_MAGIC); a forger can set it anywhere.
  [[nodiscard]] bool ends_like_a_tasks(Gva sp, std::uint64_t size) const;
  /// The stacks that a CPU switches to: interrupts, exceptions, entry from user mode.
  [[nodiscard]] std::vector<StackArea> of_cpu(unsigned cpu) const;

 private:
  struct Exception {
    StackKind kind;
    std::uint64_t offset, size;
  };
  explicit StackAreas(const Kernel& kernel) : kernel_(&kernel) {}

  const Kernel* kernel_;
  Field<Gva> stack_;
  OptionalField<std::uint64_t> pages_;  // task_struct.stack_vm_area->nr_pages
  std::uint64_t usual_pages_ = 0;
  std::optional<Gva> interrupt_pointer_;  // per-CPU
  std::uint64_t interrupt_size_ = 0;
  std::optional<Gva> exception_pointer_;  // per-CPU
  std::vector<Exception> exceptions_;
  std::optional<Gva> entry_pointer_;  // per-CPU: cpu_tss_rw.x86_tss.sp0
  std::uint64_t entry_size_ = 0;
};

}  // namespace vitrine::linux
