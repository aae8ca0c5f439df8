// TaskMembers: what every view of tasks reads of a task_struct, bound once for all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "linux/field.h"
#include "linux/view.h"

namespace vitrine::linux {

/// Members of task_struct that a process's row and a thread's row share, and how they
/// become columns.
struct TaskMembers {
  Field<std::int32_t> pid, tgid, exit_state, prio, static_prio;
  Field<std::uint32_t> flags, rt_priority, policy;
  Field<std::uint64_t> state, start_boottime, utime, stime, runtime;
  Field<std::string> comm;

  /// Binds them all; what is missing is told by bind.done().
  void bind_to(FieldBinder& bind);
  /// What they take of a task_struct.
  [[nodiscard]] Span members_span() const;

  /// Where a view keeps the columns that are filled here.
  struct Columns {
    std::size_t name, state, kernel_thread, nice, priority, rt_priority, policy, start_time,
        started;
  };
  /// Fills those columns from a copy; doubts the row where they are implausible.
  /// @param boot_time  of BootClock; nothing: `started` stays missing
  void fill(RowSink& rows, const Snapshot& task, const Columns& columns,
            std::optional<std::int64_t> boot_time) const;

  /// PF_KTHREAD; false where it cannot be read.
  [[nodiscard]] bool kernel_thread(const Snapshot& task) const;
};

}  // namespace vitrine::linux
