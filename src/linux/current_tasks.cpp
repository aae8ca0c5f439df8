#include "linux/current_tasks.h"

#include <algorithm>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {

CurrentTasks::CurrentTasks(const Kernel& kernel) : kernel_(kernel) {
  // current_task until 6.1 and from 6.15 on; in between the first member of pcpu_hot
  // (commits e57ef2ed97c1, 46e8fff6d45f).
  variable_ = kernel.symbols().find("current_task");
  if (const auto hot = kernel.symbols().find("pcpu_hot"); !variable_ && hot) {
    const auto member = Embedded::from(kernel.types(), "pcpu_hot.current_task");
    variable_ = member ? member->in(*hot) : *hot;
  }
  online_mask_ = kernel.symbols().find("__cpu_online_mask");
}

std::optional<Gva> CurrentTasks::on(unsigned cpu) const {
  if (!variable_) return std::nullopt;
  const auto at = kernel_.per_cpu(*variable_, cpu);
  if (!at) return std::nullopt;
  const auto task = kernel_.memory().load<Gva>(*at);
  if (!task || !*task) return std::nullopt;
  return *task;
}

const x86::Registers* CurrentTasks::registers_of(std::span<const x86::Registers> all,
                                                 unsigned cpu) const {
  // Until 6.14 the addresses of per-CPU variables are offsets from 0; since, they are linked
  // at __per_cpu_start. Either way GS holds what is added to them.
  if (const auto offset = kernel_.per_cpu(Gva{}, cpu)) {
    const auto own = std::ranges::find_if(all, [&](const x86::Registers& one) {
      return one.privilege() == 0 && one.gs.base == offset->value;
    });
    if (own != all.end()) return &*own;
  }
  return cpu < all.size() && all[cpu].long_mode() ? &all[cpu] : nullptr;
}

bool CurrentTasks::online(unsigned cpu) const {
  if (!online_mask_) return true;
  const auto word = kernel_.memory().load<std::uint64_t>(*online_mask_ + cpu / 64 * 8);
  return !word || (*word >> cpu % 64 & 1) != 0;
}

}  // namespace vitrine::linux
