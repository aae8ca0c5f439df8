#include "probe/profile/sampled_cpu.h"

namespace vitrine::probe {

Outcome<SampledCpu> SampledCpu::open(const linux::Kernel& kernel, bool stopped) {
  SampledCpu sampled(kernel, stopped, TRY(linux::Unwinder::open(kernel)));
  linux::FieldBinder bind(kernel.types());
  bind(sampled.mm_, "task_struct.mm");
  TRY(bind.done());
  return sampled;
}

bool SampledCpu::same_space(const x86::Registers& registers, Gva task) const {
  if (registers.privilege() != 3) return true;  // its stack tells
  const auto mm = mm_.read(kernel_->memory(), task);
  if (!mm || !*mm) return false;  // a kernel thread runs now; a program did then
  const auto root = kernel_->user_root(*mm);
  // Bit 12 chooses between the two tables of KPTI; below lies the PCID.
  constexpr std::uint64_t kTable = 0x000f'ffff'ffff'e000;
  return root && (root->table.value & kTable) == (registers.cr3 & kTable);
}

std::optional<SampledCpu::Seen> SampledCpu::look(const x86::Registers& registers,
                                                 unsigned cpu) const {
  const auto task = current_.on(cpu);
  if (!task || (!stopped_ && !same_space(registers, *task))) return std::nullopt;
  Seen seen{*task, unwinder_.of_cpu(registers, cpu, *task)};
  if (stopped_) return seen;
  // A stack that breaks off while the machine runs was overwritten meanwhile.
  if ((!seen.stack.broken.empty() && !seen.stack.between()) || current_.on(cpu) != task)
    return std::nullopt;
  return seen;
}

}  // namespace vitrine::probe
