// ThreadStacks: the stack of every thread as of one look: from a virtual CPU's registers where
// it runs, from where it gave the CPU up where it does not.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "linux/current_tasks.h"
#include "linux/stack/unwind.h"
#include "linux/tasks.h"
#include "linux/view.h"

namespace vitrine::linux {

class Kernel;

struct ThreadStack {
  TaskRef task;                 ///< pid 0: the idle task of `cpu`
  std::string name;             ///< task_struct.comm
  std::optional<unsigned> cpu;  ///< where it runs now; nothing: it does not
  KernelStack stack;
  /// Where its program stands; nothing for kernel threads.
  std::optional<UserState> user;
  std::string_view doubt;  ///< a literal: why it may be torn; empty: it is of one moment
};

/// Threads: one at a time.
class ThreadStacks {
 public:
  /// @returns not_found  a member that is missing; the message names it
  [[nodiscard]] static Outcome<ThreadStacks> open(const Kernel& kernel);

  /// Hands every thread's stack to `visit`, ordered by pid and tid, idle tasks (with pid 0)
  /// first, until it answers false. Threads that ended meanwhile are left out.
  [[nodiscard]] Tally read(const RowSink& rows,
                           const std::function<bool(const ThreadStack&)>& visit);

  [[nodiscard]] const Unwinder& unwinder() const { return unwinder_; }

 private:
  ThreadStacks(const Kernel& kernel, TaskList tasks, Unwinder unwinder)
      : kernel_(&kernel),
        tasks_(std::move(tasks)),
        unwinder_(std::move(unwinder)),
        current_(kernel) {}

  /// What runs, by its task_struct.
  [[nodiscard]] std::map<std::uint64_t, ThreadStack> running(Tally& tally) const;
  [[nodiscard]] ThreadStack sleeping(const TaskRef& task, Tally& tally) const;

  const Kernel* kernel_;
  TaskList tasks_;
  Unwinder unwinder_;
  CurrentTasks current_;
  Field<std::string> comm_;
  Field<std::int32_t> pid_, tgid_;
  Field<std::uint64_t> state_;
};

}  // namespace vitrine::linux
