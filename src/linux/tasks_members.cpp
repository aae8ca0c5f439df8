#include "linux/tasks_members.h"

#include <fmt/core.h>

#include "linux/tasks_row.h"
#include "linux/tasks_state.h"

namespace vitrine::linux {
namespace {

constexpr std::uint32_t kKernelThreadFlag = 0x0020'0000;  // PF_KTHREAD, since 2.6.27

}  // namespace

void TaskMembers::bind_to(FieldBinder& bind) {
  bind(pid, "task_struct.pid");
  bind(tgid, "task_struct.tgid");
  bind(comm, "task_struct.comm");
  bind(state, {"task_struct.__state", "task_struct.state"});  // 5.14 (2f064a59a11f)
  bind(exit_state, "task_struct.exit_state");
  bind(flags, "task_struct.flags");
  bind(prio, "task_struct.prio");
  bind(static_prio, "task_struct.static_prio");
  bind(rt_priority, "task_struct.rt_priority");
  bind(policy, "task_struct.policy");
  bind(start_boottime, {"task_struct.start_boottime", "task_struct.real_start_time"});  // 5.5
  bind(utime, "task_struct.utime");
  bind(stime, "task_struct.stime");
  bind(runtime, "task_struct.se.sum_exec_runtime");
}

Span TaskMembers::members_span() const {
  return Span::covering(pid, tgid, comm, state, exit_state, flags, prio, static_prio, rt_priority,
                        policy, start_boottime, utime, stime, runtime);
}

bool TaskMembers::kernel_thread(const Snapshot& task) const {
  const auto bits = flags.read(task);
  return bits && (*bits & kKernelThreadFlag) != 0;
}

void TaskMembers::fill(RowSink& rows, const Snapshot& task, const Columns& columns,
                       std::optional<std::int64_t> boot_time) const {
  const auto name = comm.read(task);
  if (!name || name->size() > 15) rows.doubt("its name has no end");
  rows.set(columns.name, text_value(name));
  const auto now = state.read(task);
  const auto exit = exit_state.read(task);
  if (now && exit) {
    rows.set(columns.state, std::string(1, state_letter(*now, static_cast<std::uint32_t>(*exit))));
  }
  rows.set(columns.kernel_thread, kernel_thread(task));
  if (const auto nice = static_prio.read(task)) rows.set(columns.nice, std::int64_t{*nice} - 120);
  if (const auto shown = prio.read(task)) rows.set(columns.priority, std::int64_t{*shown} - 100);
  rows.set(columns.rt_priority, integer_value(rt_priority.read(task)));
  if (const auto number = policy.read(task); number && rows.wants(columns.policy)) {
    const auto words = policy_name(*number);
    rows.set(columns.policy, words ? std::string(*words) : fmt::format("{}", *number));
  }
  if (const auto start = start_boottime.read(task)) {
    const auto nanoseconds = static_cast<std::int64_t>(*start);
    if (nanoseconds < 0) rows.doubt("its start time is implausible");
    rows.set(columns.start_time, nanoseconds);
    if (boot_time && nanoseconds >= 0 && nanoseconds < INT64_MAX - *boot_time) {
      rows.set(columns.started, *boot_time + nanoseconds);
    }
  }
}

}  // namespace vitrine::linux
