#include "linux/tasks.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"

namespace vitrine::linux {

void TaskListing::note_in(Tally& tally) const {
  tally.retries += retries;
  tally.dropped += unreadable;
  tally.truncated = tally.truncated || truncated;
  tally.warnings.insert(tally.warnings.end(), warnings.begin(), warnings.end());
}

TaskList::TaskList(const Kernel& kernel)
    : memory_(&kernel.memory()), ahead_(&kernel.read_ahead()) {}

Outcome<TaskList> TaskList::open(const Kernel& kernel) {
  if (!kernel.has_types()) {
    return std::unexpected(
        Problem(Errc::not_found,
                "this kernel has no BTF, so where a task_struct keeps its members is unknown",
                "a kernel built with CONFIG_DEBUG_INFO_BTF=y is needed; symbols, kernel_log and "
                "others work without"));
  }
  TaskList list(kernel);
  FieldBinder bind(kernel.types());
  bind(list.pid_, "task_struct.pid");
  bind(list.tgid_, "task_struct.tgid");
  bind(list.leader_, "task_struct.group_leader");
  bind(list.signal_, "task_struct.signal");
  bind(list.tasks_, "task_struct.tasks");
  bind(list.thread_node_, "task_struct.thread_node");
  bind(list.thread_head_, "signal_struct.thread_head");
  TRY(bind.done());
  list.span_ = Span::covering(list.pid_, list.tgid_, list.leader_);
  list.init_task_ = TRY(kernel.symbol("init_task"));
  if (const auto init = kernel.symbols().find("init_pid_ns")) {
    if (const auto reaper = Embedded::from(kernel.types(), "pid_namespace.child_reaper")) {
      list.child_reaper_ = reaper->in(*init);
    }
  }
  return list;
}

Result<TaskList::Identity> TaskList::identity_of(Gva task) const {
  // pid, tgid and group_leader lie within 100 bytes of each other.
  Snapshot copy(span_);
  TRY(copy.load(*memory_, task));
  Identity identity;
  identity.task = {task, TRY(pid_.read(copy)), TRY(tgid_.read(copy))};
  identity.leader = TRY(leader_.read(copy));
  return identity;
}

/// Entries of a list of threads that are none of the process: there are few, while one ends.
constexpr std::size_t kMaxForeign = 1024;

template <class Accept>
void TaskList::collect(Gva head, const Embedded& link, TaskListing& listing, const char* what,
                       Accept&& accept) const {
  for (int attempt = 1;; ++attempt) {
    const ReadAhead::In stage(*ahead_,
                              attempt == 1 ? ReadAhead::Stage::anchors : ReadAhead::Stage::anew);
    std::size_t unreadable = 0, foreign = 0;
    auto walked = walk_list(*memory_, head, kMaxTasks, [&](Gva node) {
      const auto identity = identity_of(link.owner(node));
      if (!identity) ++unreadable;
      if (identity && accept(*identity)) {
        listing.tasks.push_back(identity->task);
        return true;
      }
      return ++foreign <= kMaxForeign || &link == &tasks_;
    });
    // All processes could be given one and the same long list: it is left where it is another's.
    if (walked.stopped) walked.broken = Error{Errc::implausible, head.value, "entries of others"};
    const bool last = walked.sound() || attempt == kTries || walked.truncated;
    if (last && unreadable != 0) {
      listing.unreadable += unreadable;
      listing.warnings.push_back(
          fmt::format("{} of {} entries of {} cannot be read", unreadable, walked.visited, what));
    }
    if (walked.sound()) return;
    if (attempt == kTries || walked.truncated) {
      // A node caught between the two stores of its removal is passed over rightly; a
      // list that breaks off is not.
      if (walked.complete()) return;
      listing.truncated = true;
      listing.warnings.push_back(
          walked.broken ? fmt::format("{} breaks off: {}", what, describe(*walked.broken))
                        : fmt::format("{} has more than {} entries", what, kMaxTasks));
      return;
    }
    // What was found stays: the order and doubles are dealt with when all is collected.
    ++listing.retries;
  }
}

namespace {

void sort_and_unite(std::vector<TaskRef>& tasks) {
  std::ranges::sort(tasks, [](const TaskRef& a, const TaskRef& b) {
    return std::tie(a.tgid, a.pid, a.address) < std::tie(b.tgid, b.pid, b.address);
  });
  const auto [first, last] = std::ranges::unique(
      tasks, {}, [](const TaskRef& task) { return std::pair(task.pid, task.address); });
  tasks.erase(first, last);
}

}  // namespace

TaskListing TaskList::processes() const {
  TaskListing listing;
  collect(tasks_.in(init_task_), tasks_, listing, "the task list", [&](const Identity& identity) {
    const auto& task = identity.task;
    return task.pid > 0 && task.pid == task.tgid && identity.leader == task.address;
  });
  sort_and_unite(listing.tasks);
  // One pid, two task_structs: one of them ended since. The one still there stands.
  std::size_t kept = 0;
  for (std::size_t i = 0; i < listing.tasks.size(); ++i) {
    const auto task = listing.tasks[i];
    if (kept == 0 || listing.tasks[kept - 1].pid != task.pid)
      listing.tasks[kept++] = task;
    else if (still(task))
      listing.tasks[kept - 1] = task;
  }
  listing.tasks.resize(kept);
  return listing;
}

TaskListing TaskList::processes(const RowSink& rows) const {
  auto listing = processes();
  std::erase_if(listing.tasks, [&](const TaskRef& task) { return !rows.wants_pid(task.tgid); });
  return listing;
}

TaskListing TaskList::threads_of(TaskRef leader) const {
  TaskListing listing;
  const auto signal = signal_.read(*memory_, leader.address);
  if (!signal || !is_kernel_pointer(*signal)) {
    listing.tasks.push_back(leader);
    if (!signal) {
      listing.truncated = true;
      listing.warnings.push_back(fmt::format("the threads of {} cannot be found: {}", leader.tgid,
                                             describe(signal.error())));
    }
    return listing;
  }
  collect(thread_head_.in(*signal), thread_node_, listing, "a list of threads",
          [&](const Identity& identity) {
            return identity.task.pid > 0 && identity.task.tgid == leader.tgid &&
                   identity.leader == leader.address;
          });
  sort_and_unite(listing.tasks);
  const auto [first, last] = std::ranges::unique(listing.tasks, {}, &TaskRef::pid);
  listing.tasks.erase(first, last);
  return listing;
}

TaskList::Standing TaskList::standing(TaskRef task) const {
  const ReadAhead::In stage(*ahead_, ReadAhead::Stage::again);
  const auto identity = identity_of(task.address);
  if (!identity) return Standing::unreadable;
  if (identity->task != task) return Standing::ended;
  // Out of the list means ended: list_del_rcu leaves `next` for those who stand on the
  // node, but nothing in the list leads there any more.
  const auto& link = identity->leader == task.address ? tasks_ : thread_node_;
  const auto pair = memory_->load<std::array<std::uint64_t, 2>>(link.in(task.address));
  if (!pair) return Standing::unreadable;
  const Gva before{(*pair)[1]};
  if (!is_kernel_pointer(before)) return Standing::ended;  // LIST_POISON2
  const auto next = memory_->load<Gva>(before);
  if (!next) return Standing::unreadable;
  return *next == link.in(task.address) ? Standing::listed : Standing::ended;
}

Gva TaskList::init_process() const {
  if (!child_reaper_) return {};
  return memory_->load<Gva>(child_reaper_).value_or(Gva{});
}

}  // namespace vitrine::linux
