// A process's row: what its threads share, as signal_struct keeps it.
#include <fmt/core.h>

#include "linux/tasks_row.h"
#include "linux/views/processes_row.h"
#include "linux/walk/walk.h"

namespace vitrine::linux::processes {
namespace {

constexpr std::uint32_t kGroupExit = 4;  // SIGNAL_GROUP_EXIT

/// "pts/0" of the tty's own "pts0"; other terminals are called as their device node.
std::string tty_name(std::string_view name) {
  if (!name.starts_with("pts") || name.size() == 3 || name[3] == '/') return std::string(name);
  return fmt::format("pts/{}", name.substr(3));
}

}  // namespace

void ProcessRow::fill_signal(RowSink& rows, const TaskRef& ref) {
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
Result<std::int32_t> ProcessRow::group_number(std::uint32_t kind) const {
  const auto bytes = signal_.bytes(f_.pids.offset().value_or(0) + 8 * std::uint64_t{kind}, 8);
  if (!bytes) return fail(Errc::out_of_bounds, signal_.object().value, "signal_struct.pids");
  const Gva pid{*load<std::uint64_t>(*bytes, 0)};
  return number_of(pid);
}

Result<std::int32_t> ProcessRow::number_of(Gva pid) const {
  if (!is_kernel_pointer(pid)) return fail(Errc::not_found, pid.value, "struct pid");
  return f_.upid_number.read(memory_, f_.pid_numbers.in(pid));
}

void ProcessRow::fill_terminal(RowSink& rows) {
  const auto tty = f_.tty.read(signal_);
  if (!tty) return;
  if (!*tty) {
    rows.set(kTpgid, std::int64_t{-1});
    return;
  }
  if (const auto name = f_.tty_name.read(memory_, *tty); name && *name)
    rows.set(kTty, tty_name(**name));
  const auto group = f_.tty_process_group.read(memory_, *tty);
  if (!group || !*group) return;
  if (!**group) {
    rows.set(kTpgid, std::int64_t{-1});  // task_tgid of no pid
  } else {
    rows.set(kTpgid, integer_value(number_of(**group)));
  }
}

void ProcessRow::fill_cpu_time(RowSink& rows, const TaskRef& ref) {
  const auto sum = [&]() -> Result<CpuTime> {
    CpuTime ticks{TRY(f_.dead_utime.read(signal_)), TRY(f_.dead_stime.read(signal_))};
    auto runtime = TRY(f_.dead_runtime.read(signal_));
    const auto threads = TRY(f_.nr_threads.read(signal_));
    if (threads <= 1) {
      ticks.user += TRY(f_.utime.read(task_));
      ticks.system += TRY(f_.stime.read(task_));
      runtime += TRY(f_.runtime.read(task_));
    } else {
      const auto listing = tasks_.threads_of(ref);
      if (listing.unreadable != 0 || listing.truncated)
        return fail(Errc::io, ref.address.value, "signal_struct.thread_head");
      for (const auto& thread : listing.tasks) {
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

}  // namespace vitrine::linux::processes
