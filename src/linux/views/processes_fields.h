// The members that `processes` reads, bound to one kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "linux/field.h"
#include "linux/tasks_members.h"

namespace vitrine::linux {
class Kernel;
}

namespace vitrine::linux::processes {

struct Fields : TaskMembers {
  // task_struct, beside what threads have too
  Field<std::int32_t> exit_signal, exit_code;
  Field<std::uint32_t> ptrace;
  Field<std::uint64_t> atomic_flags;
  Field<Gva> real_parent, parent, group_leader, real_cred, signal, mm, fs, nsproxy, thread_pid;
  OptionalField<Gva> cgroups;
  OptionalField<std::int32_t> seccomp;
  OptionalField<std::uint32_t> login_uid, audit_session, dumpable;
  Span task, second_look;  // second_look: what a row hangs on

  // signal_struct
  Field<std::int32_t> nr_threads, group_exit_code;
  Field<std::uint32_t> signal_flags;
  Field<std::int16_t> oom_score_adj;
  Field<std::uint64_t> dead_utime, dead_stime, dead_runtime, told_utime, told_stime;
  Field<Gva> tty;
  Embedded pids;
  std::uint32_t process_group = 2, session = 3;  // PIDTYPE_PGID, PIDTYPE_SID
  Span signal_span;

  // cred
  Field<std::uint32_t> uid, euid, suid, fsuid, gid, egid, sgid, fsgid, ns_user;
  Embedded cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
  Field<Gva> group_info;
  Field<std::int32_t> group_count;
  Embedded group_ids;
  Span cred;

  // nsproxy and what hangs on it
  Field<std::uint32_t> ns_mnt, ns_uts, ns_pid_for_children;
  OptionalField<std::uint32_t> ns_ipc, ns_net, ns_cgroup, ns_time, ns_time_for_children;
  Span nsproxy_span;

  // pid, upid, tty_struct
  Field<std::uint32_t> pid_level, ns_number;
  Embedded pid_numbers;
  Field<std::int32_t> upid_number;
  Field<Gva> upid_ns;
  OptionalField<std::string> tty_name;
  OptionalField<Gva> tty_process_group;

  // fs_struct, file
  Embedded fs_root, fs_pwd, file_path;

  /// Columns that this kernel does not have.
  std::vector<MissingColumns> missing;

  /// @returns not_found  the members without which no row can be told
  [[nodiscard]] static Outcome<Fields> open(const Kernel& kernel);
};

}  // namespace vitrine::linux::processes
