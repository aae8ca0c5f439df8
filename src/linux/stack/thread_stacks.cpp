#include "linux/stack/thread_stacks.h"

#include <utility>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {

Outcome<ThreadStacks> ThreadStacks::open(const Kernel& kernel) {
  ThreadStacks stacks(kernel, TRY(TaskList::open(kernel)), TRY(Unwinder::open(kernel)));
  FieldBinder bind(kernel.types());
  bind(stacks.comm_, "task_struct.comm");
  bind(stacks.pid_, "task_struct.pid");
  bind(stacks.tgid_, "task_struct.tgid");
  bind(stacks.state_, {"task_struct.__state", "task_struct.state"});
  TRY(bind.done());
  return stacks;
}

std::map<std::uint64_t, ThreadStack> ThreadStacks::running(Tally& tally) const {
  std::map<std::uint64_t, ThreadStack> running;
  const auto before = kernel_->machine().registers();
  if (!before && kernel_->machine().live()) {
    tally.warnings.push_back("what runs has no stack here: " + before.error().message);
  }
  const auto& memory = kernel_->memory();
  for (unsigned cpu = 0; cpu < kernel_->cpu_count(); ++cpu) {
    if (!current_.online(cpu)) continue;
    const auto task = current_.on(cpu);
    if (!task) continue;
    ThreadStack one;
    one.cpu = cpu;
    one.task.address = *task;
    one.task.pid = pid_.read(memory, *task).value_or(-1);
    one.task.tgid = tgid_.read(memory, *task).value_or(-1);
    one.name = comm_.read(memory, *task).value_or("");
    const auto* registers = before ? current_.registers_of(*before, cpu) : nullptr;
    if (registers == nullptr) {
      one.doubt = "it runs, and its CPU's registers are not known";
    } else {
      one.stack = unwinder_.of_cpu(*registers, cpu, *task);
      one.user = one.stack.user;
      if (current_.on(cpu) != task) one.doubt = "its CPU switched tasks while it was read";
    }
    running.emplace(task->value, std::move(one));
  }
  if (!before || !kernel_->machine().live()) return running;
  // A second look tells what moved meanwhile.
  const auto after = kernel_->machine().registers();
  for (auto& [address, one] : running) {
    const auto* first = current_.registers_of(*before, *one.cpu);
    const auto* second = after ? current_.registers_of(*after, *one.cpu) : nullptr;
    if (!one.doubt.empty() || first == nullptr) continue;
    if (second == nullptr || first->rip != second->rip || first->gpr != second->gpr) {
      one.doubt = "it ran on while its stack was read";
    }
  }
  return running;
}

ThreadStack ThreadStacks::sleeping(const TaskRef& task, Tally& tally) const {
  ThreadStack one;
  one.task = task;
  one.name = comm_.read(kernel_->memory(), task.address).value_or("");
  // A kernel for one CPU has no task_struct.on_cpu either.
  if (!current_.known() && !unwinder_.task_on_cpu(task.address) &&
      state_.read(kernel_->memory(), task.address).value_or(0) == 0)
    one.doubt = "it may run: which task the CPU runs is not known";
  for (int attempt = 1;; ++attempt) {
    const auto before = unwinder_.activity(task.address);
    one.stack = unwinder_.of_sleeping(task.address);
    one.user = one.stack.user;
    if (!one.user) one.user = unwinder_.saved_user_state(task.address);
    const bool runs = unwinder_.task_on_cpu(task.address).value_or(false);
    if (!runs && unwinder_.activity(task.address) == before) return one;
    if (attempt == TaskList::kTries) {
      one.doubt = "it ran while its stack was read";
      return one;
    }
    ++tally.retries;
  }
}

Tally ThreadStacks::read(const RowSink& rows,
                         const std::function<bool(const ThreadStack&)>& visit) {
  Tally tally;
  unwinder_.forget();
  auto on_cpus = running(tally);
  if (rows.wants_pid(0)) {
    std::map<unsigned, const ThreadStack*> idle;
    for (const auto& [address, one] : on_cpus) {
      if (one.task.pid == 0) idle.emplace(*one.cpu, &one);
    }
    for (const auto& [cpu, one] : idle) {
      if (!visit(*one)) return tally;
    }
  }
  const auto processes = tasks_.processes(rows);
  processes.note_in(tally);
  for (const auto& process : processes.tasks) {
    const auto threads = tasks_.threads_of(process);
    threads.note_in(tally);
    for (const auto& thread : threads.tasks) {
      const auto own = on_cpus.find(thread.address.value);
      const bool runs = own != on_cpus.end() && own->second.task == thread;
      const auto stack = runs ? own->second : sleeping(thread, tally);
      if (!tasks_.still(thread)) continue;
      if (!visit(stack)) return tally;
    }
  }
  return tally;
}

}  // namespace vitrine::linux
