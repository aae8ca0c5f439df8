// ProcessRow: one process after another, as a row of the view `processes`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/tasks_cgroup.h"
#include "linux/tasks_memory.h"
#include "linux/tasks_time.h"
#include "linux/views/maps_areas.h"
#include "linux/views/processes_columns.h"
#include "linux/views/processes_fields.h"

namespace vitrine::linux::processes {

/// Reads what a row needs of a task and of all that hangs on it. Whoever holds it says
/// which task, and compares the two looks at it.
class ProcessRow {
 public:
  /// `kernel` must outlive this. @returns not_found  the members without which no row can be told
  [[nodiscard]] static Outcome<ProcessRow> open(const Kernel& kernel);

  /// Columns that this kernel does not have.
  [[nodiscard]] const std::vector<MissingColumns>& missing() const { return f_.missing; }

  /// Forgets what earlier listings taught about names, and reads the boot time.
  void new_listing(const RowSink& rows, Tally& tally);

  /// The first look: copies the task_struct. @returns false  it cannot be read
  [[nodiscard]] bool take(Gva task) { return task_.load(memory_, task).has_value(); }
  /// Whether the copy is of that process.
  [[nodiscard]] bool is(const TaskRef& ref) const;
  /// The second look: do the members that the row hangs on still say the same?
  [[nodiscard]] bool unchanged();

  /// Sets every column that `rows` wants, from the copy and what it points to.
  void fill(RowSink& rows, const TaskRef& ref);

 private:
  struct Forebear {
    std::int32_t pid = 0;
    std::string text;  // "1 systemd"
    Gva parent;        // real_parent
  };

  ProcessRow(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths,
             MemoryFields memory);

  // processes_row.cpp
  void fill_task(RowSink& rows);
  void fill_parents(RowSink& rows);
  const Forebear* forebear(Gva task);
  void fill_directories(RowSink& rows);
  // processes_row_signal.cpp
  void fill_signal(RowSink& rows, const TaskRef& ref);
  void fill_terminal(RowSink& rows);
  void fill_cpu_time(RowSink& rows, const TaskRef& ref);
  [[nodiscard]] Result<std::int32_t> group_number(std::uint32_t kind) const;
  [[nodiscard]] Result<std::int32_t> number_of(Gva pid) const;
  // processes_row_rights.cpp
  void fill_credentials(RowSink& rows);
  void fill_groups(RowSink& rows);
  void fill_namespaces(RowSink& rows);
  void fill_pid_namespaces(RowSink& rows);
  void fill_cgroups(RowSink& rows);
  // processes_row_memory.cpp
  void fill_memory(RowSink& rows);
  void fill_executable(RowSink& rows);
  void fill_hollow(RowSink& rows, Gva mm);
  [[nodiscard]] bool same_program(Gva program, Gva mapped) const;
  void fill_strings(RowSink& rows, Gva mm);

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  PathReader paths_;
  MemoryFields mm_fields_;
  std::optional<maps::AreaFinder> areas_;
  std::optional<CgroupNames> cgroups_;
  Outcome<BootClock> clock_;

  std::optional<std::int64_t> boot_time_;
  std::unordered_map<Gva, Forebear> forebears_;
  bool kernel_thread_ = false;
  Snapshot task_{f_.task}, again_{f_.second_look}, signal_{f_.signal_span}, cred_{f_.cred},
      mm_{mm_fields_.span()}, nsproxy_{f_.nsproxy_span};
};

}  // namespace vitrine::linux::processes
