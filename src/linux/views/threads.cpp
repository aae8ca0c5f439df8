#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <vector>

#include "linux/kernel.h"
#include "linux/tasks.h"
#include "linux/tasks_members.h"
#include "linux/tasks_row.h"
#include "linux/tasks_state.h"
#include "linux/tasks_time.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"

namespace vitrine::linux {
namespace {

enum ColumnIndex : std::size_t {
  kPid,
  kTid,
  kName,
  kState,
  kCpu,
  kCpuUser,
  kCpuSystem,
  kStarted,
  kStartTime,
  kNice,
  kPriority,
  kRealtimePriority,
  kPolicy,
  kKernelThread,
  kCpusAllowed,
  kVoluntary,
  kInvoluntary,
  kAddress,
  kColumnCount
};

constexpr std::array<Column, kColumnCount> kColumns{{
    {"pid", ColumnType::integer, "pid of its process (task_struct.tgid)", Column::shown},
    {"tid", ColumnType::integer, "its own number (task_struct.pid)", Column::shown},
    {"name", ColumnType::text, "its name, at most 15 bytes (task_struct.comm)", Column::shown},
    {"state", ColumnType::text,
     "R running, S sleeping, D uninterruptible, T stopped, t traced, X dead, Z zombie, P parked, I "
     "idle (task_struct.__state, exit_state)",
     Column::shown},
    {"cpu", ColumnType::integer, "CPU it last ran on (thread_info.cpu)", Column::shown},
    {"cpu_user", ColumnType::duration,
     "CPU time in user mode, ns: run time, divided as the ticks were (task_struct.utime, "
     "se.sum_exec_runtime, prev_cputime)",
     Column::shown},
    {"cpu_system", ColumnType::duration, "CPU time in the kernel, ns, likewise (task_struct.stime)",
     Column::shown},
    {"started", ColumnType::time,
     "wall time of the start by the guest's clock now (start_time + boot time)", Column::hidden},
    {"start_time", ColumnType::duration,
     "start, ns since boot, sleep included (task_struct.start_boottime)", Column::hidden},
    {"nice", ColumnType::integer, "nice value, -20 to 19 (task_struct.static_prio - 120)",
     Column::hidden},
    {"priority", ColumnType::integer,
     "priority as top shows it, below 0 real-time (task_struct.prio - 100)", Column::shown},
    {"rt_priority", ColumnType::integer, "real-time priority, 0 to 99 (task_struct.rt_priority)",
     Column::hidden},
    {"policy", ColumnType::text, "other, fifo, rr, batch, idle, deadline, ext (task_struct.policy)",
     Column::shown},
    {"kernel_thread", ColumnType::boolean,
     "runs in the kernel alone (task_struct.flags & PF_KTHREAD)", Column::hidden},
    {"cpus_allowed", ColumnType::text, "CPUs it may run on: 0-1,3 (task_struct.cpus_mask)",
     Column::hidden},
    {"voluntary_switches", ColumnType::integer,
     "times it gave the CPU up to wait (task_struct.nvcsw)", Column::hidden},
    {"involuntary_switches", ColumnType::integer,
     "times the CPU was taken from it (task_struct.nivcsw)", Column::hidden},
    {"address", ColumnType::address, "its task_struct", Column::hidden},
}};

constexpr ViewInfo kInfo{
    .name = "threads",
    .summary = "threads of all processes, kernel threads among them",
    .columns = kColumns,
    .order = "by pid, then tid",
    .key = "tid",
};

constexpr TaskMembers::Columns kMembers{.name = kName,
                                        .state = kState,
                                        .kernel_thread = kKernelThread,
                                        .nice = kNice,
                                        .priority = kPriority,
                                        .rt_priority = kRealtimePriority,
                                        .policy = kPolicy,
                                        .start_time = kStartTime,
                                        .started = kStarted};

struct Fields : TaskMembers {
  OptionalField<std::uint32_t> cpu;  // CONFIG_SMP
  Field<std::uint64_t> told_utime, told_stime, nvcsw, nivcsw;
  Embedded cpus;
  Span task, second_look;

  static Outcome<Fields> open(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    f.bind_to(bind);
    bind(f.cpu, {"task_struct.thread_info.cpu", "task_struct.cpu"});  // 5.16 (bcf9033e5449)
    bind(f.told_utime, "task_struct.prev_cputime.utime");
    bind(f.told_stime, "task_struct.prev_cputime.stime");
    bind(f.nvcsw, "task_struct.nvcsw");
    bind(f.nivcsw, "task_struct.nivcsw");
    bind(f.cpus, {"task_struct.cpus_mask", "task_struct.cpus_allowed"});  // 5.3
    TRY(bind.done());
    f.task = f.members_span().joined(
        Span::covering(f.cpu, f.told_utime, f.told_stime, f.nvcsw, f.nivcsw));
    f.second_look = Span::covering(f.pid, f.tgid, f.comm);
    return f;
  }
};

class ThreadsReader final : public ViewReader {
 public:
  ThreadsReader(const Kernel& kernel, Fields fields, TaskList tasks, Outcome<BootClock> clock)
      : ahead_(kernel.read_ahead()),
        memory_(kernel.memory()),
        cpu_count_(kernel.cpu_count()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        clock_(std::move(clock)) {}

  Outcome<Tally> read(RowSink& rows) override {
    const ReadAhead::Look look(ahead_, plan_);
    Tally tally;
    boot_time_ = clock_ && rows.wants(kStarted) ? clock_->boot_time() : std::nullopt;
    if (clock_ && rows.wants(kStarted) && !boot_time_)
      tally.warnings.emplace_back(BootClock::kUnreadable);
    const auto processes = tasks_.processes(rows);
    processes.note_in(tally);
    for (const auto& process : processes.tasks) {
      const auto threads = tasks_.threads_of(process);
      threads.note_in(tally);
      for (const auto& thread : threads.tasks) {
        if (!read_row(rows, thread, tally)) continue;
        if (!rows.end()) return tally;
      }
    }
    return tally;
  }

  std::vector<MissingColumns> missing_columns() const override {
    if (clock_) return {};
    return {{{"started"}, clock_.error().message}};
  }

 private:
  /// @returns false  it has ended, or cannot be read
  bool read_row(RowSink& rows, const TaskRef& ref, Tally& tally) {
    for (int attempt = 1;; ++attempt) {
      const ReadAhead::In stage(ahead_,
                                attempt > 1 ? ReadAhead::Stage::anew : ReadAhead::Stage::anchors);
      if (!task_.load(memory_, ref.address)) {
        if (tasks_.standing(ref) != TaskList::Standing::ended) ++tally.dropped;
        return false;
      }
      if (f_.pid.read(task_) != ref.pid || f_.tgid.read(task_) != ref.tgid) return false;
      rows.begin();
      fill(rows, ref);
      const bool same = unchanged(ref.address);
      const auto standing = tasks_.standing(ref);
      if (standing == TaskList::Standing::unreadable) ++tally.dropped;
      if (standing != TaskList::Standing::listed) return false;
      if (same) return true;
      if (attempt == TaskList::kTries) {
        rows.doubt("changed while it was read");
        return true;
      }
      ++tally.retries;
    }
  }

  bool unchanged(Gva task) {
    const ReadAhead::In stage(ahead_, ReadAhead::Stage::again);
    if (!again_.load(memory_, task)) return false;
    const auto name = f_.comm.read(task_);
    const auto name_now = f_.comm.read(again_);
    return name && name_now && *name == *name_now;
  }

  void fill(RowSink& rows, const TaskRef& ref) {
    rows.set(kPid, std::int64_t{ref.tgid});
    rows.set(kTid, std::int64_t{ref.pid});
    rows.set(kAddress, ref.address.value);
    f_.fill(rows, task_, kMembers, boot_time_);
    if (const auto cpu = f_.cpu.read(task_)) {
      rows.set(kCpu, std::int64_t{cpu->value_or(0)});
      if (cpu->value_or(0) >= cpu_count_) rows.doubt("its CPU does not exist");
    }
    fill_cpu_time(rows);
    if (rows.wants(kCpusAllowed)) fill_cpus(rows, ref.address);
    rows.set(kVoluntary, integer_value(f_.nvcsw.read(task_)));
    rows.set(kInvoluntary, integer_value(f_.nivcsw.read(task_)));
  }

  void fill_cpu_time(RowSink& rows) {
    if (!rows.wants_any(kCpuUser, kCpuSystem)) return;
    const auto time = [&]() -> Result<CpuTime> {
      return adjusted_cpu_time({TRY(f_.utime.read(task_)), TRY(f_.stime.read(task_))},
                               TRY(f_.runtime.read(task_)),
                               {TRY(f_.told_utime.read(task_)), TRY(f_.told_stime.read(task_))});
    }();
    if (!time) return;
    rows.set(kCpuUser, static_cast<std::int64_t>(time->user));
    rows.set(kCpuSystem, static_cast<std::int64_t>(time->system));
  }

  void fill_cpus(RowSink& rows, Gva task) {
    const auto words = std::min<std::uint64_t>((cpu_count_ + 63) / 64, f_.cpus.size() / 8);
    std::vector<std::uint64_t> mask(words);
    if (!memory_.read(f_.cpus.in(task), std::as_writable_bytes(std::span(mask)))) return;
    rows.set(kCpusAllowed, cpu_list(mask.data(), mask.size(), cpu_count_));
  }

  const ReadAhead& ahead_;
  const VirtualMemory& memory_;
  unsigned cpu_count_;
  Fields f_;
  TaskList tasks_;
  Outcome<BootClock> clock_;
  std::optional<std::int64_t> boot_time_;
  ReadPlan plan_;
  Snapshot task_{f_.task}, again_{f_.second_look};
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel.types()));
  return std::make_unique<ThreadsReader>(kernel, std::move(fields), std::move(tasks),
                                         BootClock::open(kernel));
}

}  // namespace

const View threads_view(kInfo, open);

}  // namespace vitrine::linux
