#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_set>

#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/tasks.h"
#include "linux/tasks_row.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/walk/list.h"
#include "linux/walk/xarray.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kPid,
  kTgid,
  kName,
  kListed,
  kNumbered,
  kFoundBy,
  kTablePid,
  kCpu,
  kKernelThread,
  kAddress
};

constexpr Column kColumns[] = {
    {"pid", ColumnType::integer, "of the thread (task_struct.pid)"},
    {"tgid", ColumnType::integer, "of its process (task_struct.tgid)"},
    {"name", ColumnType::text, "task_struct.comm"},
    {"listed", ColumnType::boolean,
     "the task list has it: init_task.tasks, or its leader's list of threads"},
    {"numbered", ColumnType::boolean,
     "the pid table has it: what kill(2) and the listing of /proc go by"},
    {"found_by", ColumnType::list,
     "running (a CPU's current task), queued (a run queue), pid table, children (its parent's), "
     "cgroup (a css_set); empty: the task list alone"},
    {"table_pid", ColumnType::integer,
     "the number under which the pid table has it; absent: it is not there"},
    {"cpu", ColumnType::integer, "whose run queue has it; absent: none"},
    {"kernel_thread", ColumnType::boolean, "PF_KTHREAD", Column::hidden},
    {"address", ColumnType::address, "its task_struct", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "scheduled",
    .summary = "tasks by every place that knows them, and whether the task list does",
    .columns = kColumns,
    .order = "by pid",
    .key = "address",
};

constexpr std::uint32_t kKernelThreadFlag = 0x0020'0000;  // PF_KTHREAD
constexpr std::size_t kMaxQueued = 1U << 16;
constexpr std::size_t kMaxEntries = 4 * TaskList::kMaxTasks;  // of all lists together
constexpr std::size_t kRtPriorities = 100;
constexpr int kLooks = 3;

struct Fields {
  Field<std::int32_t> pid, tgid, exit_state;
  Field<std::string> comm;
  Field<std::uint32_t> flags;
  Field<Gva> leader, signal;
  Embedded sibling, children, group_node, rt_list;
  std::optional<Embedded> cgroup_list;  // nothing without CONFIG_CGROUPS
  Span span;

  static Outcome<Fields> open(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    bind(f.pid, "task_struct.pid");
    bind(f.tgid, "task_struct.tgid");
    bind(f.exit_state, "task_struct.exit_state");
    bind(f.comm, "task_struct.comm");
    bind(f.flags, "task_struct.flags");
    bind(f.leader, "task_struct.group_leader");
    bind(f.signal, "task_struct.signal");
    bind(f.sibling, "task_struct.sibling");
    bind(f.children, "task_struct.children");
    bind(f.group_node, "task_struct.se.group_node");
    bind(f.rt_list, "task_struct.rt.run_list");
    TRY(bind.done());
    if (auto list = Embedded::from(types, "task_struct.cg_list")) f.cgroup_list = *list;
    f.span = Span::covering(f.pid, f.tgid, f.exit_state, f.comm, f.flags, f.leader, f.signal);
    return f;
  }
};

struct Sighting {
  std::set<std::string> by;
  std::optional<std::int64_t> table_pid;
  std::optional<std::int64_t> cpu;
};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, Fields fields, TaskList tasks)
      : kernel_(kernel),
        memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        of_(kernel.types()),
        has_table_(kernel.symbols().find("init_pid_ns").has_value()),
        has_queues_(kernel.symbols().find("runqueues").has_value()) {}

  [[nodiscard]] std::vector<MissingColumns> missing_columns() const override {
    std::vector<MissingColumns> missing;
    if (!has_table_)
      missing.push_back({{"numbered", "table_pid"}, "this kernel has no symbol init_pid_ns"});
    if (!has_queues_) missing.push_back({{"cpu"}, "this kernel has no symbol runqueues"});
    return missing;
  }

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    auto seen = look(tally);
    auto listed = listed_tasks(tally);
    add_unnumbered(seen, listed);
    // Tasks start and end between the two readings. Who is missing from one is looked for again, in
    // both.
    for (int again = 1; again < kLooks; ++again) {
      const bool strangers = std::ranges::any_of(seen, [&](const auto& entry) {
        return !listed.contains(entry.first) || (has_table_ && !entry.second.table_pid);
      });
      if (!strangers) break;
      ++tally.retries;
      Tally other;
      auto now = look(other);
      auto listed_now = listed_tasks(other);
      add_unnumbered(now, listed_now);
      listed.merge(listed_now);
      for (auto entry = seen.begin(); entry != seen.end();) {
        const auto still = now.find(entry->first);
        const bool missing =
            !listed.contains(entry->first) || (has_table_ && !entry->second.table_pid);
        if (missing && still == now.end()) {
          entry = seen.erase(entry);
          continue;
        }
        if (still != now.end()) {
          // The pid table changes under us as well: what had it once had it.
          const auto number = entry->second.table_pid;
          entry->second = still->second;
          if (!entry->second.table_pid) entry->second.table_pid = number;
        }
        ++entry;
      }
    }
    struct Row {
      Gva task;
      std::int32_t pid;
    };
    std::vector<Row> order;
    for (const auto& [task, sighting] : seen)
      order.push_back({task, f_.pid.read(memory_, task).value_or(0)});
    std::ranges::sort(order, {}, [](const Row& row) { return std::pair(row.pid, row.task); });
    for (const auto& entry : order) {
      const auto& sighting = seen[entry.task];
      if (!copy_.load(memory_, entry.task)) continue;
      const auto tgid = f_.tgid.read(copy_).value_or(0);
      if (!rows.wants_pid(tgid)) continue;
      const bool in_list = listed.contains(entry.task);
      const bool numbered = sighting.table_pid.has_value() || !has_table_;
      // Its last moments: released already, and on its way out of the CPU.
      if ((!in_list || !numbered) && f_.exit_state.read(copy_).value_or(0) != 0) continue;
      rows.begin();
      rows.set(kPid, std::int64_t{f_.pid.read(copy_).value_or(0)});
      rows.set(kTgid, std::int64_t{tgid});
      rows.set(kName, text_value(f_.comm.read(copy_)));
      rows.set(kListed, in_list);
      if (has_table_) rows.set(kNumbered, numbered);
      rows.set(kFoundBy, std::vector<std::string>(sighting.by.begin(), sighting.by.end()));
      if (sighting.table_pid) rows.set(kTablePid, *sighting.table_pid);
      if (sighting.cpu) rows.set(kCpu, *sighting.cpu);
      rows.set(kKernelThread, (f_.flags.read(copy_).value_or(0) & kKernelThreadFlag) != 0);
      rows.set(kAddress, entry.task.value);
      if (!rows.end()) break;
    }
    return tally;
  }

 private:
  using Seen = std::map<Gva, Sighting>;

  [[nodiscard]] std::uint64_t word(Gva at) const {
    return memory_.load<std::uint64_t>(at).value_or(0);
  }

  std::unordered_set<Gva> listed_tasks(Tally& tally) {
    std::unordered_set<Gva> listed;
    const auto processes = tasks_.processes();
    processes.note_in(tally);
    for (const auto& process : processes.tasks) {
      listed.insert(process.address);
      for (const auto& thread : tasks_.threads_of(process).tasks) listed.insert(thread.address);
    }
    return listed;
  }

  /// Who is listed and in no other place: the pid table has forgotten it.
  static void add_unnumbered(Seen& seen, const std::unordered_set<Gva>& listed) {
    for (const Gva task : listed) seen.try_emplace(task);
  }

  /// One of the many lists; all could be led to the same entries, so they have a limit together.
  template <class Visit>
  void each(Gva head, Tally& tally, const Visit& visit) {
    const auto walked = walk_list(memory_, head, std::min(kMaxQueued, left_), [&](Gva node) {
      visit(node);
      return true;
    });
    left_ -= std::min(left_, walked.visited);
    tally.truncated |= walked.truncated;
  }

  Seen look(Tally& tally) {
    Seen seen;
    left_ = kMaxEntries;
    run_queues(seen, tally);
    pid_table(seen, tally);
    families(seen, tally);
    return seen;
  }

  Sighting* note(Seen& seen, Gva task, const char* by) {
    if (!is_kernel_pointer(task) || idle_.contains(task) || seen.size() >= TaskList::kMaxTasks)
      return nullptr;
    auto& sighting = seen[task];
    sighting.by.insert(by);
    return &sighting;
  }

  void run_queues(Seen& seen, Tally& tally) {
    const auto queues = kernel_.symbols().find("runqueues");
    const auto current = of_.find("rq.curr"), idle = of_.find("rq.idle"),
               fair = of_.find("rq.cfs_tasks"), realtime = of_.find("rq.rt.active.queue");
    if (!queues || !current || !idle) return;
    idle_.insert(tasks_.init_task());
    for (unsigned cpu = 0; cpu < kernel_.cpu_count(); ++cpu) {
      const auto rq = kernel_.per_cpu(*queues, cpu);
      if (!rq) continue;
      idle_.insert(Gva{word(*rq + *idle)});
      const auto found = [&](Gva task, const char* by) {
        if (Sighting* sighting = note(seen, task, by)) sighting->cpu = cpu;
      };
      found(Gva{word(*rq + *current)}, "running");
      // A queue changes under us all the time: where it breaks off, the rest is for the next look.
      if (fair) {
        each(*rq + *fair, tally, [&](Gva node) { found(f_.group_node.owner(node), "queued"); });
      }
      if (!realtime) continue;
      for (std::size_t priority = 0; priority < kRtPriorities; ++priority) {
        const Gva head = *rq + *realtime + priority * 16;
        if (Gva{word(head)} == head) continue;
        // Group entities stand in these lists too: a task's is recognised by its idle class of pids
        // below.
        each(head, tally, [&](Gva node) {
          const Gva task = f_.rt_list.owner(node);
          const auto leader = f_.leader.read(memory_, task);
          if (leader && is_kernel_pointer(*leader)) found(task, "queued");
        });
      }
    }
  }

  /// init_pid_ns.idr: number to struct pid, whose first list has the thread of that number.
  void pid_table(Seen& seen, Tally& tally) {
    const auto space = kernel_.symbols().find("init_pid_ns");
    const auto head = of_.find("pid_namespace.idr.idr_rt.xa_head"), tasks = of_.find("pid.tasks"),
               link = of_.find("task_struct.pid_links"), number = of_.find("upid.nr"),
               numbers = of_.find("pid.numbers");
    if (!space || !head || !tasks || !link || !number || !numbers) return;
    const auto walked = walk_xarray(
        memory_, XArrayLayout::of(kernel_.types()), word(*space + *head), TaskList::kMaxTasks,
        [&](std::uint64_t, std::uint64_t entry) {
          const Gva pid{entry};
          if (!is_kernel_pointer(pid)) return true;
          const Gva node{word(pid + *tasks)};  // PIDTYPE_PID is the first
          if (!is_kernel_pointer(node)) return true;
          if (Sighting* sighting = note(seen, node - *link, "pid table")) {
            sighting->table_pid = memory_.load<std::int32_t>(pid + *numbers + *number).value_or(0);
          }
          return true;
        });
    tally.truncated |= walked.truncated;
  }

  /// The children of every task seen so far and of init, and the tasks of every css_set of theirs.
  void families(Seen& seen, Tally& tally) {
    std::vector<Gva> parents{tasks_.init_task()};
    for (const auto& [task, sighting] : seen) parents.push_back(task);
    const auto set = of_.find("task_struct.cgroups"), members = of_.find("css_set.tasks");
    std::set<Gva> sets;
    for (const Gva parent : parents) {
      if (set && members && f_.cgroup_list) {
        const Gva css{word(parent + *set)};
        if (is_kernel_pointer(css)) sets.insert(css);
      }
      each(f_.children.in(parent), tally,
           [&](Gva node) { note(seen, f_.sibling.owner(node), "children"); });
    }
    for (const Gva css : sets) {
      each(css + *members, tally,
           [&](Gva node) { note(seen, f_.cgroup_list->owner(node), "cgroup"); });
    }
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  Offsets of_;
  bool has_table_, has_queues_;  // with CONFIG_KALLSYMS_ALL
  std::set<Gva> idle_;
  std::size_t left_ = 0;  // entries, of the limit of one look
  Snapshot copy_{f_.span};
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel.types()));
  return std::make_unique<Reader>(kernel, std::move(fields), std::move(tasks));
}

}  // namespace

const View scheduled_view(kInfo, open);

}  // namespace vitrine::linux
