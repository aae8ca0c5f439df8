// The columns of `processes`, in their order.
#pragma once

#include <array>

#include "linux/view.h"

namespace vitrine::linux::processes {

enum ColumnIndex : std::size_t {
  kPid, kTgid, kPpid, kName, kUid, kEuid, kSuid, kFsuid, kGid, kEgid, kSgid, kFsgid, kGroups,
  kState, kThreads, kRss, kVsize, kShared, kText, kData, kTty, kStarted, kStartTime, kCpuUser,
  kCpuSystem, kCmdline, kArgs, kEnv, kPath, kDeleted, kWorkingDirectory, kRootDirectory, kSession,
  kProcessGroup, kTpgid, kKernelThread, kNice, kPriority, kRealtimePriority, kPolicy, kSeccomp,
  kNoNewPrivileges, kDumpable, kTracer, kCapInheritable, kCapPermitted, kCapEffective, kCapBounding,
  kCapAmbient, kCgroup, kCgroups, kNsMnt, kNsUts, kNsIpc, kNsPid, kNsPidForChildren, kNsNet, kNsUser,
  kNsCgroup, kNsTime, kNsTimeForChildren, kNsPids, kParents, kLoginUid, kAuditSession, kOomScoreAdj,
  kExitSignal, kExitCode, kAddress, kColumnCount
};

inline constexpr auto kShown = Column::shown;
inline constexpr auto kHidden = Column::hidden;
inline constexpr auto kOnRequest = Column::on_request;

inline constexpr std::array<Column, kColumnCount> kColumns{{
    {"pid", ColumnType::integer, "process id in the initial pid namespace (task_struct.tgid)", kShown},
    {"tgid", ColumnType::integer, "thread group id: the same, named as the kernel does (task_struct.tgid)", kHidden},
    {"ppid", ColumnType::integer, "pid of the parent (task_struct.real_parent->tgid); 0: none", kShown},
    {"name", ColumnType::text, "command name, at most 15 bytes (task_struct.comm)", kShown},
    {"uid", ColumnType::integer, "real user id (cred.uid of task_struct.real_cred)", kShown},
    {"euid", ColumnType::integer, "effective user id (cred.euid)", kHidden},
    {"suid", ColumnType::integer, "saved user id (cred.suid)", kHidden},
    {"fsuid", ColumnType::integer, "user id for file access (cred.fsuid)", kHidden},
    {"gid", ColumnType::integer, "real group id (cred.gid)", kHidden},
    {"egid", ColumnType::integer, "effective group id (cred.egid)", kHidden},
    {"sgid", ColumnType::integer, "saved group id (cred.sgid)", kHidden},
    {"fsgid", ColumnType::integer, "group id for file access (cred.fsgid)", kHidden},
    {"groups", ColumnType::list, "supplementary group ids (cred.group_info)", kHidden},
    {"state", ColumnType::text, "R running, S sleeping, D uninterruptible, T stopped, t traced, X dead, Z zombie, P parked, I idle (task_struct.__state, exit_state)", kShown},
    {"threads", ColumnType::integer, "number of threads (signal_struct.nr_threads)", kShown},
    {"rss", ColumnType::size, "resident memory, bytes (mm_struct.rss_stat: file, anonymous and shared pages)", kShown},
    {"vsize", ColumnType::size, "mapped address space, bytes (mm_struct.total_vm)", kHidden},
    {"shared", ColumnType::size, "resident file and shared-memory pages, bytes (mm_struct.rss_stat)", kHidden},
    {"text", ColumnType::size, "program text, bytes in whole pages (mm_struct.start_code to end_code)", kHidden},
    {"data", ColumnType::size, "private data and stack, bytes (mm_struct.data_vm + stack_vm)", kHidden},
    {"tty", ColumnType::text, "controlling terminal as ps names it: pts/0, ttyS0 (signal_struct.tty->name)", kShown},
    {"started", ColumnType::time, "wall time of the start by the guest's clock now (start_time + boot time)", kShown},
    {"start_time", ColumnType::duration, "start, ns since boot, sleep included (task_struct.start_boottime)", kHidden},
    {"cpu_user", ColumnType::duration, "CPU time in user mode, ns, all threads, ended ones included, as /proc/PID/stat: exact run time, divided as the ticks were (signal_struct.utime, task_struct.utime, se.sum_exec_runtime, prev_cputime)", kShown},
    {"cpu_system", ColumnType::duration, "CPU time in the kernel, ns, likewise (stime)", kShown},
    {"cmdline", ColumnType::text, "arguments, separated by spaces (user memory, mm_struct.arg_start to arg_end)", kShown},
    {"args", ColumnType::list, "arguments, each as it is (user memory)", kHidden},
    {"env", ColumnType::list, "environment, NAME=value (user memory, mm_struct.env_start to env_end)", kOnRequest},
    {"path", ColumnType::text, "the executable as init's directory tree has it (mm_struct.exe_file)", kHidden},
    {"deleted", ColumnType::boolean, "the executable's name is gone (dentry unhashed, or a memfd)", kHidden},
    {"cwd", ColumnType::text, "working directory (task_struct.fs->pwd)", kHidden},
    {"root", ColumnType::text, "root directory (task_struct.fs->root)", kHidden},
    {"session", ColumnType::integer, "session id (signal_struct.pids[PIDTYPE_SID])", kHidden},
    {"process_group", ColumnType::integer, "process group id (signal_struct.pids[PIDTYPE_PGID])", kHidden},
    {"tpgid", ColumnType::integer, "foreground process group of the terminal, -1 without one (tty_struct.ctrl.pgrp)", kHidden},
    {"kernel_thread", ColumnType::boolean, "runs in the kernel alone (task_struct.flags & PF_KTHREAD)", kHidden},
    {"nice", ColumnType::integer, "nice value, -20 to 19 (task_struct.static_prio - 120)", kHidden},
    {"priority", ColumnType::integer, "priority as top shows it, below 0 real-time (task_struct.prio - 100)", kHidden},
    {"rt_priority", ColumnType::integer, "real-time priority, 0 to 99 (task_struct.rt_priority)", kHidden},
    {"policy", ColumnType::text, "other, fifo, rr, batch, idle, deadline, ext (task_struct.policy)", kHidden},
    {"seccomp", ColumnType::integer, "0 off, 1 strict, 2 filter (task_struct.seccomp.mode)", kHidden},
    {"no_new_privs", ColumnType::boolean, "exec grants no privileges (task_struct.atomic_flags, bit 0)", kHidden},
    {"dumpable", ColumnType::integer, "0 no core dump or attach, 1 yes, 2 root only (mm_struct.flags & 3; task_struct.exec_state->dumpable)", kHidden},
    {"tracer", ColumnType::integer, "pid of the tracer, 0: none (task_struct.parent while ptrace is set)", kHidden},
    {"cap_inh", ColumnType::mask, "inheritable capabilities (cred.cap_inheritable)", kHidden},
    {"cap_prm", ColumnType::mask, "permitted capabilities (cred.cap_permitted)", kHidden},
    {"cap_eff", ColumnType::mask, "effective capabilities (cred.cap_effective)", kHidden},
    {"cap_bnd", ColumnType::mask, "capability bounding set (cred.cap_bset)", kHidden},
    {"cap_amb", ColumnType::mask, "ambient capabilities (cred.cap_ambient)", kHidden},
    {"cgroup", ColumnType::text, "path in the unified cgroup hierarchy (task_struct.cgroups->dfl_cgrp)", kHidden},
    {"cgroups", ColumnType::list, "all hierarchies, NUMBER:CONTROLLERS:PATH as /proc/PID/cgroup (css_set.cgrp_links)", kHidden},
    {"ns_mnt", ColumnType::integer, "inode of the mount namespace (nsproxy.mnt_ns)", kHidden},
    {"ns_uts", ColumnType::integer, "inode of the host name namespace (nsproxy.uts_ns)", kHidden},
    {"ns_ipc", ColumnType::integer, "inode of the IPC namespace (nsproxy.ipc_ns)", kHidden},
    {"ns_pid", ColumnType::integer, "inode of the pid namespace it is in (task_struct.thread_pid->numbers[level].ns)", kHidden},
    {"ns_pid_for_children", ColumnType::integer, "inode of the pid namespace of its children (nsproxy.pid_ns_for_children)", kHidden},
    {"ns_net", ColumnType::integer, "inode of the network namespace (nsproxy.net_ns)", kHidden},
    {"ns_user", ColumnType::integer, "inode of the user namespace (cred.user_ns)", kHidden},
    {"ns_cgroup", ColumnType::integer, "inode of the cgroup namespace (nsproxy.cgroup_ns)", kHidden},
    {"ns_time", ColumnType::integer, "inode of the time namespace (nsproxy.time_ns)", kHidden},
    {"ns_time_for_children", ColumnType::integer, "inode of the time namespace of its children (nsproxy.time_ns_for_children)", kHidden},
    {"ns_pids", ColumnType::list, "its pid in each pid namespace, outermost first (task_struct.thread_pid->numbers)", kHidden},
    {"parents", ColumnType::list, "its forebears from init down to the parent, PID NAME (task_struct.real_parent)", kHidden},
    {"login_uid", ColumnType::integer, "user id of the login, kept across su (task_struct.loginuid)", kHidden},
    {"audit_session", ColumnType::integer, "number of the login session (task_struct.sessionid)", kHidden},
    {"oom_score_adj", ColumnType::integer, "-1000 never killed for memory, 1000 first (signal_struct.oom_score_adj)", kHidden},
    {"exit_signal", ColumnType::integer, "signal that its end sends to the parent (task_struct.exit_signal)", kHidden},
    {"exit_code", ColumnType::integer, "wait status of a zombie (signal_struct.group_exit_code or task_struct.exit_code)", kHidden},
    {"address", ColumnType::address, "its task_struct", kHidden},
}};

inline constexpr ViewInfo kInfo{
    .name = "processes",
    .summary = "processes (thread groups), kernel threads and zombies among them",
    .columns = kColumns,
    .order = "by pid",
    .key = "pid",
};

}  // namespace vitrine::linux::processes
