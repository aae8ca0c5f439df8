#include "linux/views/processes_row.h"

#include <fmt/core.h>

#include <algorithm>

#include "linux/kernel.h"
#include "linux/tasks_row.h"
#include "linux/walk/walk.h"

namespace vitrine::linux::processes {
namespace {

constexpr std::size_t kMaxParents = 1024;
constexpr std::uint32_t kUnset = 0xffff'ffff;  // no login uid, no audit session

constexpr TaskMembers::Columns kMembers{.name = kName,
                                        .state = kState,
                                        .kernel_thread = kKernelThread,
                                        .nice = kNice,
                                        .priority = kPriority,
                                        .rt_priority = kRealtimePriority,
                                        .policy = kPolicy,
                                        .start_time = kStartTime,
                                        .started = kStarted};

void set_unless_unset(RowSink& rows, ColumnIndex column,
                      const Result<std::optional<std::uint32_t>>& number) {
  if (number && *number && **number != kUnset) rows.set(column, std::int64_t{**number});
}

}  // namespace

ProcessRow::ProcessRow(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths,
                       MemoryFields memory)
    : kernel_(kernel),
      memory_(kernel.memory()),
      f_(std::move(fields)),
      tasks_(std::move(tasks)),
      paths_(std::move(paths)),
      mm_fields_(std::move(memory)),
      clock_(BootClock::open(kernel)) {
  if (auto found = maps::AreaFinder::open(kernel)) {
    areas_ = *std::move(found);
  } else {
    f_.missing.push_back({{"hollow"}, found.error().message});
  }
  if (auto found = CgroupNames::open(kernel)) cgroups_ = *std::move(found);
  if (!cgroups_)
    f_.missing.push_back(
        {{"cgroup", "cgroups"}, "this kernel has no control groups, or css_set is unknown"});
  if (!clock_) f_.missing.push_back({{"started"}, clock_.error().message});
}

Outcome<ProcessRow> ProcessRow::open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel));
  auto paths = TRY(PathReader::open(kernel));
  auto memory = TRY(MemoryFields::open(kernel));
  return ProcessRow(kernel, std::move(fields), std::move(tasks), std::move(paths),
                    std::move(memory));
}

void ProcessRow::new_listing(const RowSink& rows, Tally& tally) {
  paths_.forget();
  forebears_.clear();
  if (cgroups_) cgroups_->forget();
  boot_time_ = clock_ && rows.wants(kStarted) ? clock_->boot_time() : std::nullopt;
  if (clock_ && rows.wants(kStarted) && !boot_time_)
    tally.warnings.emplace_back(BootClock::kUnreadable);
}

bool ProcessRow::is(const TaskRef& ref) const {
  return f_.tgid.read(task_) == ref.tgid && f_.pid.read(task_) == ref.pid;
}

bool ProcessRow::unchanged() {
  if (!again_.load(memory_, task_.object())) return false;
  const auto same = [&](const auto& field) {
    const auto then = field.read(task_);
    const auto now = field.read(again_);
    return then && now && *then == *now;
  };
  return same(f_.pid) && same(f_.tgid) && same(f_.comm) && same(f_.mm) && same(f_.real_cred) &&
         same(f_.real_parent) && same(f_.signal) && same(f_.nsproxy) && same(f_.exit_state);
}

void ProcessRow::fill(RowSink& rows, const TaskRef& ref) {
  rows.set(kPid, std::int64_t{ref.tgid});
  rows.set(kTgid, std::int64_t{ref.tgid});
  rows.set(kAddress, ref.address.value);
  f_.fill(rows, task_, kMembers, boot_time_);
  kernel_thread_ = f_.kernel_thread(task_);
  fill_task(rows);
  fill_parents(rows);
  fill_signal(rows, ref);
  fill_credentials(rows);
  fill_memory(rows);
  fill_directories(rows);
  fill_namespaces(rows);
  fill_cgroups(rows);
}

void ProcessRow::fill_task(RowSink& rows) {
  rows.set(kSeccomp, integer_value(f_.seccomp.read(task_)));
  if (const auto bits = f_.atomic_flags.read(task_)) rows.set(kNoNewPrivileges, (*bits & 1) != 0);
  set_unless_unset(rows, kLoginUid, f_.login_uid.read(task_));
  set_unless_unset(rows, kAuditSession, f_.audit_session.read(task_));
  rows.set(kExitSignal, integer_value(f_.exit_signal.read(task_)));
  if (!rows.wants(kTracer)) return;
  const auto traced = f_.ptrace.read(task_);
  const auto tracer = f_.parent.read(task_);
  if (traced && *traced == 0) {
    rows.set(kTracer, std::int64_t{0});
  } else if (traced && tracer) {
    rows.set(kTracer, integer_value(f_.pid.read(memory_, *tracer)));
  }
}

const ProcessRow::Forebear* ProcessRow::forebear(Gva task) {
  if (const auto known = forebears_.find(task); known != forebears_.end()) return &known->second;
  if (!is_kernel_pointer(task)) return nullptr;
  const auto tgid = f_.tgid.read(memory_, task);
  const auto leader = f_.group_leader.read(memory_, task);
  if (!tgid || !leader) return nullptr;
  const auto name = f_.comm.read(memory_, *leader);
  const auto parent = f_.real_parent.read(memory_, *leader);
  if (!name || !parent) return nullptr;
  return &forebears_.emplace(task, Forebear{*tgid, fmt::format("{} {}", *tgid, *name), *parent})
              .first->second;
}

void ProcessRow::fill_parents(RowSink& rows) {
  if (!rows.wants_any(kPpid, kParents)) return;
  const auto parent = f_.real_parent.read(task_);
  if (!parent) return;
  const auto* at = forebear(*parent);
  if (at == nullptr) {
    rows.doubt("its parent cannot be read");
    return;
  }
  rows.set(kPpid, std::int64_t{at->pid});
  if (!rows.wants(kParents)) return;
  std::vector<std::string> chain;
  while (at != nullptr && at->pid != 0) {
    if (chain.size() == kMaxParents) {
      rows.doubt("its forebears run in a circle");
      break;
    }
    chain.push_back(at->text);
    at = forebear(at->parent);
  }
  std::ranges::reverse(chain);
  rows.set(kParents, std::move(chain));
}

void ProcessRow::fill_directories(RowSink& rows) {
  if (!rows.wants_any(kWorkingDirectory, kRootDirectory)) return;
  const auto fs = f_.fs.read(task_);
  if (!fs || !*fs) return;
  const auto place = [&](ColumnIndex column, const Embedded& field) {
    if (!rows.wants(column)) return;
    const auto text = [&]() -> Result<PathText> {
      return paths_.text(TRY(paths_.point_at(field.in(*fs))));
    }();
    if (text) {
      rows.set(column, text->text);
    } else {
      rows.doubt("its directories cannot be read");
    }
  };
  place(kWorkingDirectory, f_.fs_pwd);
  place(kRootDirectory, f_.fs_root);
}

}  // namespace vitrine::linux::processes
