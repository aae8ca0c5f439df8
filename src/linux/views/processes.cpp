#include "linux/views/processes.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/core.h>

#include "linux/kernel.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/tasks_cgroup.h"
#include "linux/tasks_row.h"
#include "linux/tasks_state.h"
#include "linux/tasks_time.h"
#include "linux/views/processes_columns.h"
#include "linux/views/processes_fields.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {
namespace {

using namespace processes;

constexpr std::uint32_t kKernelThreadFlag = 0x0020'0000;  // PF_KTHREAD, since 2.6.27
constexpr std::uint32_t kGroupExit = 4;                   // SIGNAL_GROUP_EXIT
constexpr std::uint32_t kMaxGroups = 65'536;              // NGROUPS_MAX
constexpr std::uint32_t kMaxNamespaceLevel = 32;          // MAX_PID_NS_LEVEL
constexpr std::size_t kMaxParents = 1024;
constexpr std::uint32_t kUnset = 0xffff'ffff;             // no login uid, no audit session

/// "pts/0" of the tty's own "pts0"; other terminals are called as their device node.
std::string tty_name(std::string_view name) {
  if (!name.starts_with("pts") || name.size() == 3 || name[3] == '/') return std::string(name);
  return fmt::format("pts/{}", name.substr(3));
}

class ProcessesReader final : public ViewReader {
 public:
  ProcessesReader(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths,
                  MemoryFields memory_fields, std::optional<CgroupNames> cgroups,
                  std::optional<BootClock> clock)
      : kernel_(kernel),
        memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        paths_(std::move(paths)),
        mm_fields_(std::move(memory_fields)),
        cgroups_(std::move(cgroups)),
        clock_(std::move(clock)) {
    if (!cgroups_) {
      f_.missing.emplace_back("cgroup: this kernel has no control groups, or css_set is unknown");
      f_.missing.emplace_back("cgroups: this kernel has no control groups, or css_set is unknown");
    }
    if (!clock_) f_.missing.emplace_back("started: tk_core or timekeeper.offs_real is not in this kernel");
  }

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    paths_.forget();
    forebears_.clear();
    if (cgroups_) cgroups_->forget();
    boot_time_ = clock_ && rows.wants(kStarted) ? clock_->boot_time() : std::nullopt;
    const auto listing = tasks_.processes(rows);
    listing.note_in(tally);
    for (const auto& task : listing.tasks) {
      switch (read_row(rows, task, tally)) {
        case Row::told:
          if (!rows.end()) return tally;
          break;
        case Row::ended: break;
        case Row::unreadable: ++tally.dropped; break;
      }
    }
    return tally;
  }

  std::vector<std::string> missing_columns() const override { return f_.missing; }

 private:
  enum class Row { told, ended, unreadable };

  /// Reads a row until two looks at its task_struct agree.
  Row read_row(RowSink& rows, const TaskRef& ref, Tally& tally) {
    for (int attempt = 1;; ++attempt) {
      if (!task_.load(memory_, ref.address)) return tasks_.still(ref) ? Row::unreadable : Row::ended;
      if (f_.tgid.read(task_) != ref.tgid || f_.pid.read(task_) != ref.pid) return Row::ended;
      rows.begin();
      fill(rows, ref);
      const bool same = unchanged(ref.address);
      if (!tasks_.still(ref)) return Row::ended;
      if (same) return Row::told;
      if (attempt == TaskList::kTries) {
        rows.doubt("changed while it was read");
        return Row::told;
      }
      ++tally.retries;
    }
  }

  /// Do the members that the row hangs on still say the same?
  bool unchanged(Gva task) {
    if (!again_.load(memory_, task)) return false;
    const auto same = [&](const auto& field) {
      const auto then = field.read(task_);
      const auto now = field.read(again_);
      return then && now && *then == *now;
    };
    return same(f_.pid) && same(f_.tgid) && same(f_.comm) && same(f_.mm) && same(f_.real_cred) &&
           same(f_.real_parent) && same(f_.signal) && same(f_.nsproxy) && same(f_.exit_state);
  }

  void fill(RowSink& rows, const TaskRef& ref) {
    rows.set(kPid, std::int64_t{ref.tgid});
    rows.set(kTgid, std::int64_t{ref.tgid});
    rows.set(kAddress, ref.address.value);
    const auto name = f_.comm.read(task_);
    if (!name || name->size() > 15) rows.doubt("its name has no end");
    rows.set(kName, text_value(name));
    fill_task(rows);
    fill_parents(rows);
    fill_signal(rows, ref);
    fill_credentials(rows);
    fill_memory(rows);
    fill_directories(rows);
    fill_namespaces(rows);
    fill_cgroups(rows);
  }

  void fill_task(RowSink& rows) {
    const auto state = f_.state.read(task_);
    const auto exit_state = f_.exit_state.read(task_);
    if (state && exit_state) {
      rows.set(kState, std::string(1, state_letter(*state, static_cast<std::uint32_t>(*exit_state))));
    }
    const auto flags = f_.flags.read(task_);
    kernel_thread_ = flags && (*flags & kKernelThreadFlag) != 0;
    rows.set(kKernelThread, kernel_thread_);
    if (const auto nice = f_.static_prio.read(task_)) rows.set(kNice, std::int64_t{*nice} - 120);
    if (const auto prio = f_.prio.read(task_)) rows.set(kPriority, std::int64_t{*prio} - 100);
    rows.set(kRealtimePriority, integer_value(f_.rt_priority.read(task_)));
    if (const auto policy = f_.policy.read(task_); policy && rows.wants(kPolicy)) {
      const auto words = policy_name(*policy);
      rows.set(kPolicy, words ? std::string(*words) : fmt::format("{}", *policy));
    }
    rows.set(kSeccomp, integer_value(f_.seccomp.read(task_)));
    if (const auto bits = f_.atomic_flags.read(task_)) rows.set(kNoNewPrivileges, (*bits & 1) != 0);
    set_unless_unset(rows, kLoginUid, f_.login_uid.read(task_));
    set_unless_unset(rows, kAuditSession, f_.audit_session.read(task_));
    rows.set(kExitSignal, integer_value(f_.exit_signal.read(task_)));
    if (const auto start = f_.start_boottime.read(task_)) {
      const auto nanoseconds = static_cast<std::int64_t>(*start);
      if (nanoseconds < 0) rows.doubt("its start time is implausible");
      rows.set(kStartTime, nanoseconds);
      if (boot_time_ && nanoseconds >= 0 && nanoseconds < INT64_MAX - *boot_time_) {
        rows.set(kStarted, *boot_time_ + nanoseconds);
      }
    }
    if (rows.wants(kTracer)) {
      const auto traced = f_.ptrace.read(task_);
      const auto tracer = f_.parent.read(task_);
      if (traced && *traced == 0) {
        rows.set(kTracer, std::int64_t{0});
      } else if (traced && tracer) {
        rows.set(kTracer, integer_value(f_.pid.read(memory_, *tracer)));
      }
    }
  }

  static void set_unless_unset(RowSink& rows, ColumnIndex column,
                               const Result<std::optional<std::uint32_t>>& number) {
    if (number && *number && **number != kUnset) rows.set(column, std::int64_t{**number});
  }

  struct Forebear {
    std::int32_t pid = 0;
    std::string text;  // "1 systemd"
    Gva parent;        // real_parent
  };

  const Forebear* forebear(Gva task) {
    if (const auto known = forebears_.find(task); known != forebears_.end()) return &known->second;
    if (!is_kernel_pointer(task)) return nullptr;
    const auto tgid = f_.tgid.read(memory_, task);
    const auto leader = f_.group_leader.read(memory_, task);
    if (!tgid || !leader) return nullptr;
    const auto name = f_.comm.read(memory_, *leader);
    const auto parent = f_.real_parent.read(memory_, *leader);
    if (!name || !parent) return nullptr;
    return &forebears_
                .emplace(task, Forebear{*tgid, fmt::format("{} {}", *tgid, *name), *parent})
                .first->second;
  }

  void fill_parents(RowSink& rows) {
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

  void fill_signal(RowSink& rows, const TaskRef& ref) {
    if (!rows.wants_any(kThreads, kCpuUser, kCpuSystem, kTty, kTpgid, kSession, kProcessGroup,
                        kOomScoreAdj, kExitCode)) {
      return;
    }
    const auto signal = f_.signal.read(task_);
    if (!signal || !is_kernel_pointer(*signal) || !signal_.load(memory_, *signal)) {
      rows.doubt("its signal_struct cannot be read");
      return;
    }
    rows.set(kThreads, integer_value(f_.nr_threads.read(signal_)));
    rows.set(kOomScoreAdj, integer_value(f_.oom_score_adj.read(signal_)));
    if (rows.wants_any(kCpuUser, kCpuSystem)) fill_cpu_time(rows, ref);
    if (rows.wants(kSession)) rows.set(kSession, integer_value(group_number(f_.session)));
    if (rows.wants(kProcessGroup)) {
      rows.set(kProcessGroup, integer_value(group_number(f_.process_group)));
    }
    if (rows.wants_any(kTty, kTpgid)) fill_terminal(rows);
    const auto exit_state = f_.exit_state.read(task_);
    if (exit_state && *exit_state != 0) {
      const auto flags = f_.signal_flags.read(signal_);
      const auto code = flags && (*flags & kGroupExit) != 0 ? f_.group_exit_code.read(signal_)
                                                            : f_.exit_code.read(task_);
      rows.set(kExitCode, integer_value(code));
    }
  }

  /// The number of the process group or session, in the initial pid namespace.
  Result<std::int32_t> group_number(std::uint32_t kind) const {
    const auto bytes = signal_.bytes(f_.pids.offset().value_or(0) + 8 * std::uint64_t{kind}, 8);
    if (!bytes) return fail(Errc::out_of_bounds, signal_.object().value, "signal_struct.pids");
    const Gva pid{*load<std::uint64_t>(*bytes, 0)};
    return number_of(pid);
  }
  Result<std::int32_t> number_of(Gva pid) const {
    if (!is_kernel_pointer(pid)) return fail(Errc::not_found, pid.value, "struct pid");
    return f_.upid_number.read(memory_, f_.pid_numbers.in(pid));
  }

  void fill_terminal(RowSink& rows) {
    const auto tty = f_.tty.read(signal_);
    if (!tty) return;
    if (!*tty) {
      rows.set(kTpgid, std::int64_t{-1});
      return;
    }
    if (const auto name = f_.tty_name.read(memory_, *tty)) rows.set(kTty, tty_name(*name));
    const auto group = f_.tty_process_group.read(memory_, *tty);
    if (!group) return;
    if (!*group) {
      rows.set(kTpgid, std::int64_t{-1});  // task_tgid of no pid
    } else {
      rows.set(kTpgid, integer_value(number_of(*group)));
    }
  }

  void fill_cpu_time(RowSink& rows, const TaskRef& ref) {
    const auto sum = [&]() -> Result<CpuTime> {
      CpuTime ticks{TRY(f_.dead_utime.read(signal_)), TRY(f_.dead_stime.read(signal_))};
      auto runtime = TRY(f_.dead_runtime.read(signal_));
      const auto threads = TRY(f_.nr_threads.read(signal_));
      if (threads <= 1) {
        ticks.user += TRY(f_.utime.read(task_));
        ticks.system += TRY(f_.stime.read(task_));
        runtime += TRY(f_.runtime.read(task_));
      } else {
        for (const auto& thread : tasks_.threads_of(ref).tasks) {
          ticks.user += TRY(f_.utime.read(memory_, thread.address));
          ticks.system += TRY(f_.stime.read(memory_, thread.address));
          runtime += TRY(f_.runtime.read(memory_, thread.address));
        }
      }
      const CpuTime told{TRY(f_.told_utime.read(signal_)), TRY(f_.told_stime.read(signal_))};
      return adjusted_cpu_time(ticks, runtime, told);
    }();
    if (!sum) {
      rows.doubt("its CPU time cannot be read");
      return;
    }
    rows.set(kCpuUser, static_cast<std::int64_t>(sum->user));
    rows.set(kCpuSystem, static_cast<std::int64_t>(sum->system));
  }

  void fill_credentials(RowSink& rows) {
    if (!rows.wants_any(kUid, kEuid, kSuid, kFsuid, kGid, kEgid, kSgid, kFsgid, kGroups, kNsUser,
                        kCapInheritable, kCapPermitted, kCapEffective, kCapBounding, kCapAmbient)) {
      return;
    }
    const auto cred = f_.real_cred.read(task_);
    if (!cred || !is_kernel_pointer(*cred) || !cred_.load(memory_, *cred)) {
      rows.doubt("its credentials cannot be read");
      return;
    }
    rows.set(kUid, integer_value(f_.uid.read(cred_)));
    rows.set(kEuid, integer_value(f_.euid.read(cred_)));
    rows.set(kSuid, integer_value(f_.suid.read(cred_)));
    rows.set(kFsuid, integer_value(f_.fsuid.read(cred_)));
    rows.set(kGid, integer_value(f_.gid.read(cred_)));
    rows.set(kEgid, integer_value(f_.egid.read(cred_)));
    rows.set(kSgid, integer_value(f_.sgid.read(cred_)));
    rows.set(kFsgid, integer_value(f_.fsgid.read(cred_)));
    if (rows.wants(kNsUser)) rows.set(kNsUser, integer_value(f_.ns_user.read(memory_, cred_)));
    // Two 32-bit halves up to 6.2, one u64 since (f122a08b197d): the same bytes.
    const auto capability = [&](ColumnIndex column, const Embedded& field) {
      const auto bytes = cred_.bytes(field.offset().value_or(0), 8);
      if (bytes && field.size() == 8) rows.set(column, *load<std::uint64_t>(*bytes, 0));
    };
    capability(kCapInheritable, f_.cap_inheritable);
    capability(kCapPermitted, f_.cap_permitted);
    capability(kCapEffective, f_.cap_effective);
    capability(kCapBounding, f_.cap_bounding);
    capability(kCapAmbient, f_.cap_ambient);
    if (rows.wants(kGroups)) fill_groups(rows);
  }

  void fill_groups(RowSink& rows) {
    const auto groups = [&]() -> Result<std::vector<std::string>> {
      const auto info = TRY(f_.group_info.read(cred_));
      const auto count = TRY(f_.group_count.read(memory_, info));
      if (count < 0 || static_cast<std::uint32_t>(count) > kMaxGroups) {
        return fail(Errc::implausible, info.value, "group_info.ngroups");
      }
      std::vector<std::uint32_t> numbers(static_cast<std::size_t>(count));
      TRY(memory_.read(f_.group_ids.in(info), std::as_writable_bytes(std::span(numbers))));
      std::vector<std::string> words;
      words.reserve(numbers.size());
      for (const auto number : numbers) words.push_back(fmt::format("{}", number));
      return words;
    }();
    if (groups) {
      rows.set(kGroups, *groups);
    } else {
      rows.doubt("its groups cannot be read");
    }
  }

  void fill_memory(RowSink& rows) {
    if (const auto dumpable = f_.dumpable.find(memory_, task_)) {
      if (*dumpable) rows.set(kDumpable, std::int64_t{**dumpable});
    }
    if (!rows.wants_any(kRss, kVsize, kShared, kText, kData, kCmdline, kArgs, kEnv, kPath, kDeleted,
                        kDumpable)) {
      return;
    }
    const auto mm = f_.mm.read(task_);
    // A kernel thread may borrow an mm (kthread_use_mm); it is not its own.
    if (!mm || !*mm || kernel_thread_) return;
    if (!is_kernel_pointer(*mm) || !mm_.load(memory_, *mm)) {
      rows.doubt("its mm_struct cannot be read");
      return;
    }
    if (rows.wants_any(kRss, kShared)) {
      if (const auto resident = mm_fields_.resident(mm_)) {
        rows.set(kRss, resident->total);
        rows.set(kShared, resident->shared);
      }
    }
    rows.set(kVsize, integer_value(mm_fields_.total(mm_)));
    rows.set(kText, integer_value(mm_fields_.text(mm_)));
    rows.set(kData, integer_value(mm_fields_.data(mm_)));
    if (const auto dumpable = mm_fields_.dumpable(mm_); dumpable && !f_.dumpable.exists()) {
      rows.set(kDumpable, *dumpable);
    }
    if (rows.wants_any(kPath, kDeleted)) fill_executable(rows);
    if (rows.wants_any(kCmdline, kArgs, kEnv)) fill_strings(rows, *mm);
  }

  void fill_executable(RowSink& rows) {
    const auto file = mm_fields_.executable(mm_);
    if (!file || !*file) return;
    const auto text = [&]() -> Result<PathText> {
      return paths_.text(TRY(paths_.point_at(f_.file_path.in(*file))));
    }();
    if (!text) {
      rows.doubt("the path of its executable cannot be read");
      return;
    }
    rows.set(kPath, text->text);
    rows.set(kDeleted, text->deleted);
  }

  void fill_strings(RowSink& rows, Gva mm) {
    const auto root = kernel_.user_root(mm);
    if (!root) {
      rows.doubt("its page tables cannot be found");
      return;
    }
    const x86::AddressSpace user(kernel_.ram(), *root);
    if (rows.wants_any(kCmdline, kArgs)) {
      if (const auto line = mm_fields_.command_line(user, mm_)) {
        if (line->cut) rows.doubt("its arguments are not all in memory");
        auto args = split_strings(line->bytes);
        if (rows.wants(kCmdline)) {
          std::string joined = line->bytes;
          while (!joined.empty() && joined.back() == '\0') joined.pop_back();
          std::ranges::replace(joined, '\0', ' ');
          rows.set(kCmdline, std::move(joined));
        }
        rows.set(kArgs, std::move(args));
      }
    }
    if (rows.wants(kEnv)) {
      if (const auto environment = mm_fields_.environment(user, mm_)) {
        if (environment->cut) rows.doubt("its environment is not all in memory");
        rows.set(kEnv, split_strings(environment->bytes));
      }
    }
  }

  void fill_directories(RowSink& rows) {
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

  void fill_namespaces(RowSink& rows) {
    if (rows.wants_any(kNsPid, kNsPids)) fill_pid_namespaces(rows);
    if (!rows.wants_any(kNsMnt, kNsUts, kNsIpc, kNsPidForChildren, kNsNet, kNsCgroup, kNsTime,
                        kNsTimeForChildren)) {
      return;
    }
    const auto nsproxy = f_.nsproxy.read(task_);
    if (!nsproxy || !*nsproxy) return;  // given up at exit
    if (!is_kernel_pointer(*nsproxy) || !nsproxy_.load(memory_, *nsproxy)) {
      rows.doubt("its namespaces cannot be read");
      return;
    }
    const auto number = [&](ColumnIndex column, const auto& field) {
      if (rows.wants(column)) rows.set(column, integer_value(field.read(memory_, nsproxy_)));
    };
    number(kNsMnt, f_.ns_mnt);
    number(kNsUts, f_.ns_uts);
    number(kNsIpc, f_.ns_ipc);
    number(kNsPidForChildren, f_.ns_pid_for_children);
    number(kNsNet, f_.ns_net);
    number(kNsCgroup, f_.ns_cgroup);
    number(kNsTime, f_.ns_time);
    number(kNsTimeForChildren, f_.ns_time_for_children);
  }

  void fill_pid_namespaces(RowSink& rows) {
    const auto done = [&]() -> Result<void> {
      const auto pid = TRY(f_.thread_pid.read(task_));
      if (!pid) return {};  // reaped
      const auto level = TRY(f_.pid_level.read(memory_, pid));
      if (level > kMaxNamespaceLevel) return fail(Errc::implausible, pid.value, "pid.level");
      std::vector<std::string> numbers;
      for (std::uint32_t i = 0; i <= level; ++i) {
        const Gva place = f_.pid_numbers.element(pid, i);
        numbers.push_back(fmt::format("{}", TRY(f_.upid_number.read(memory_, place))));
      }
      rows.set(kNsPids, std::move(numbers));
      const auto space = TRY(f_.upid_ns.read(memory_, f_.pid_numbers.element(pid, level)));
      rows.set(kNsPid, integer_value(f_.ns_number.read(memory_, space)));
      return {};
    }();
    if (!done) rows.doubt("its pid namespaces cannot be read");
  }

  void fill_cgroups(RowSink& rows) {
    if (!cgroups_ || !rows.wants_any(kCgroup, kCgroups)) return;
    const auto set = f_.cgroups.read(task_);
    if (!set || !*set || !**set) return;
    if (rows.wants(kCgroup)) {
      auto path = cgroups_->unified(**set);
      if (!path) rows.doubt("its control group cannot be read");
      rows.set(kCgroup, text_value(std::move(path)));
    }
    if (rows.wants(kCgroups)) {
      if (auto all = cgroups_->all(**set)) rows.set(kCgroups, *std::move(all));
    }
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  PathReader paths_;
  MemoryFields mm_fields_;
  std::optional<CgroupNames> cgroups_;
  std::optional<BootClock> clock_;

  std::optional<std::int64_t> boot_time_;
  std::unordered_map<Gva, Forebear> forebears_;
  bool kernel_thread_ = false;
  Snapshot task_{f_.task}, again_{f_.task}, signal_{f_.signal_span}, cred_{f_.cred},
      mm_{mm_fields_.span()}, nsproxy_{f_.nsproxy_span};
};

class ProcessesView final : public View {
 public:
  const ViewInfo& info() const noexcept override { return kInfo; }

  Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) const override {
    auto tasks = TRY(TaskList::open(kernel));
    auto fields = TRY(Fields::open(kernel));
    auto paths = TRY(PathReader::open(kernel));
    auto memory = TRY(MemoryFields::open(kernel));
    std::optional<CgroupNames> cgroups;
    if (auto found = CgroupNames::open(kernel)) cgroups = *std::move(found);
    return std::make_unique<ProcessesReader>(kernel, std::move(fields), std::move(tasks),
                                             std::move(paths), std::move(memory), std::move(cgroups),
                                             BootClock::open(kernel));
  }
};

}  // namespace

const View& processes_view() noexcept {
  static const ProcessesView kView;
  return kView;
}

}  // namespace vitrine::linux
