// TaskList: the processes and threads of a guest, listed for whoever reads more of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/view.h"

namespace vitrine {
class ReadAhead;
}

namespace vitrine::linux {

class Kernel;

/// One task_struct, and who it was when it was listed.
struct TaskRef {
  Gva address;            ///< task_struct
  std::int32_t pid = 0;   ///< of the thread, in the initial pid namespace
  std::int32_t tgid = 0;  ///< of its thread group: what people call the process's pid
  bool operator==(const TaskRef&) const = default;
};

/// What a listing found.
struct TaskListing {
  std::vector<TaskRef> tasks;  ///< ordered by tgid, then pid; no pid twice
  std::size_t retries = 0;     ///< lists walked again, as they changed under us
  std::size_t unreadable = 0;  ///< entries that cannot be read, and so are not in `tasks`
  bool truncated = false;      ///< a bound was reached, or a list could not be followed to its end
  std::vector<std::string> warnings;

  /// Adds what is said above to `tally`.
  void note_in(Tally& tally) const;
};

/// Lists tasks by the kernel's own lists: init_task.tasks for thread groups,
/// signal_struct.thread_head for their threads. The idle tasks (pid 0) are in neither.
///
/// A task that ends while it is listed may be missing or still there: still() tells.
/// Zombies are listed, as /proc lists them.
/// Threads: one at a time.
class TaskList {
 public:
  /// PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h): there are not more pids.
  static constexpr std::size_t kMaxTasks = 4u << 20;
  /// How often a list that changed under us is walked again, and a row read again.
  static constexpr int kTries = 4;

  /// @returns not_found  a kernel without BTF, a member or symbol that is missing; named
  [[nodiscard]] static Outcome<TaskList> open(const Kernel& kernel);

  /// All thread groups: their leaders. Cost: one read of under 1 KiB each.
  [[nodiscard]] TaskListing processes() const;
  /// The leaders of those thread groups that `rows` asks for.
  [[nodiscard]] TaskListing processes(const RowSink& rows) const;

  /// The threads of the group that `leader` leads, itself included, as far as they can
  /// be reached; ordered by pid.
  [[nodiscard]] TaskListing threads_of(TaskRef leader) const;

  enum class Standing : std::uint8_t { listed, ended, unreadable };
  /// Is the task at that address still the one that was listed, and in the lists?
  [[nodiscard]] Standing standing(TaskRef task) const;
  [[nodiscard]] bool still(TaskRef task) const { return standing(task) == Standing::listed; }

  /// The init process (init_pid_ns.child_reaper); 0 if it cannot be read.
  [[nodiscard]] Gva init_process() const;
  /// The idle task of the boot CPU: init_task, pid 0.
  [[nodiscard]] Gva init_task() const { return init_task_; }

 private:
  explicit TaskList(const Kernel& kernel);
  struct Identity {
    TaskRef task;
    Gva leader;
  };
  [[nodiscard]] Result<Identity> identity_of(Gva task) const;
  template <class Accept>
  void collect(Gva head, const Embedded& link, TaskListing& listing, const char* what,
               Accept&& accept) const;

  const VirtualMemory* memory_;
  const ReadAhead* ahead_;
  Gva init_task_;
  Gva child_reaper_;  // &init_pid_ns.child_reaper; 0: unknown
  Field<std::int32_t> pid_, tgid_;
  Field<Gva> leader_, signal_;
  Embedded tasks_, thread_node_;
  Embedded thread_head_;  // in signal_struct
  Span span_;
};

}  // namespace vitrine::linux
