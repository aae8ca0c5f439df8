#include "linux/views/processes_fields.h"

#include <fmt/core.h>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux::processes {

Outcome<Fields> Fields::open(const Kernel& kernel) {
  const auto& types = kernel.types();
  Fields f;
  FieldBinder bind(types);
  f.bind_to(bind);
  bind(f.exit_signal, "task_struct.exit_signal");
  bind(f.exit_code, "task_struct.exit_code");
  bind(f.ptrace, "task_struct.ptrace");
  bind(f.atomic_flags, "task_struct.atomic_flags");
  bind(f.real_parent, "task_struct.real_parent");
  bind(f.parent, "task_struct.parent");
  bind(f.group_leader, "task_struct.group_leader");
  bind(f.real_cred, "task_struct.real_cred");
  bind(f.signal, "task_struct.signal");
  bind(f.mm, "task_struct.mm");
  bind(f.fs, "task_struct.fs");
  bind(f.nsproxy, "task_struct.nsproxy");
  bind(f.thread_pid, "task_struct.thread_pid");
  bind(f.cgroups, "task_struct.cgroups");
  bind(f.seccomp, "task_struct.seccomp.mode");
  bind(f.login_uid, "task_struct.loginuid.val");
  bind(f.audit_session, "task_struct.sessionid");
  bind(f.dumpable, "task_struct.exec_state->dumpable");

  bind(f.nr_threads, "signal_struct.nr_threads");
  bind(f.group_exit_code, "signal_struct.group_exit_code");
  bind(f.signal_flags, "signal_struct.flags");
  bind(f.oom_score_adj, "signal_struct.oom_score_adj");
  bind(f.dead_utime, "signal_struct.utime");
  bind(f.dead_stime, "signal_struct.stime");
  bind(f.dead_runtime, "signal_struct.sum_sched_runtime");
  bind(f.told_utime, "signal_struct.prev_cputime.utime");
  bind(f.told_stime, "signal_struct.prev_cputime.stime");
  bind(f.tty, "signal_struct.tty");
  bind(f.pids, "signal_struct.pids");

  bind(f.uid, "cred.uid.val");
  bind(f.euid, "cred.euid.val");
  bind(f.suid, "cred.suid.val");
  bind(f.fsuid, "cred.fsuid.val");
  bind(f.gid, "cred.gid.val");
  bind(f.egid, "cred.egid.val");
  bind(f.sgid, "cred.sgid.val");
  bind(f.fsgid, "cred.fsgid.val");
  bind(f.ns_user, "cred.user_ns->ns.inum");
  bind(f.cap_inheritable, "cred.cap_inheritable");
  bind(f.cap_permitted, "cred.cap_permitted");
  bind(f.cap_effective, "cred.cap_effective");
  bind(f.cap_bounding, "cred.cap_bset");
  bind(f.cap_ambient, "cred.cap_ambient");
  bind(f.group_info, "cred.group_info");
  bind(f.group_count, "group_info.ngroups");
  bind(f.group_ids, "group_info.gid");

  bind(f.ns_mnt, "nsproxy.mnt_ns->ns.inum");
  bind(f.ns_uts, "nsproxy.uts_ns->ns.inum");
  bind(f.ns_ipc, "nsproxy.ipc_ns->ns.inum");
  bind(f.ns_pid_for_children, "nsproxy.pid_ns_for_children->ns.inum");
  bind(f.ns_net, "nsproxy.net_ns->ns.inum");
  bind(f.ns_cgroup, "nsproxy.cgroup_ns->ns.inum");
  bind(f.ns_time, "nsproxy.time_ns->ns.inum");
  bind(f.ns_time_for_children, "nsproxy.time_ns_for_children->ns.inum");

  bind(f.pid_level, "pid.level");
  bind(f.pid_numbers, "pid.numbers");
  bind(f.upid_number, "upid.nr");
  bind(f.upid_ns, "upid.ns");
  bind(f.ns_number, "pid_namespace.ns.inum");
  bind(f.tty_name, "tty_struct.name");
  bind(f.tty_process_group, {"tty_struct.ctrl.pgrp", "tty_struct.pgrp"});  // 5.15 (64d608db38ff)
  bind(f.fs_root, "fs_struct.root");
  bind(f.fs_pwd, "fs_struct.pwd");
  bind(f.file_path, "file.f_path");
  TRY(bind.done());

  f.process_group = static_cast<std::uint32_t>(types.find_enumerator("PIDTYPE_PGID").value_or(2));
  f.session = static_cast<std::uint32_t>(types.find_enumerator("PIDTYPE_SID").value_or(3));

  f.task = f.members_span().joined(
      Span::covering(f.exit_signal, f.exit_code, f.ptrace, f.atomic_flags, f.real_parent, f.parent,
                     f.group_leader, f.real_cred, f.signal, f.mm, f.fs, f.nsproxy, f.thread_pid,
                     f.cgroups, f.seccomp, f.login_uid, f.audit_session, f.dumpable));
  f.second_look = Span::covering(f.pid, f.tgid, f.comm, f.mm, f.real_cred, f.real_parent, f.signal,
                                 f.nsproxy, f.exit_state);
  f.signal_span =
      Span::covering(f.nr_threads, f.group_exit_code, f.signal_flags, f.oom_score_adj, f.dead_utime,
                     f.dead_stime, f.dead_runtime, f.told_utime, f.told_stime, f.tty)
          .joined({static_cast<std::uint32_t>(f.pids.offset().value_or(0)),
                   static_cast<std::uint32_t>(f.pids.size())});
  f.cred = Span::covering(f.uid, f.euid, f.suid, f.fsuid, f.gid, f.egid, f.sgid, f.fsgid, f.ns_user,
                          f.group_info);
  for (const auto* capability :
       {&f.cap_inheritable, &f.cap_permitted, &f.cap_effective, &f.cap_bounding, &f.cap_ambient}) {
    f.cred = f.cred.joined({static_cast<std::uint32_t>(capability->offset().value_or(0)),
                            static_cast<std::uint32_t>(capability->size())});
  }
  f.nsproxy_span = Span::covering(f.ns_mnt, f.ns_uts, f.ns_ipc, f.ns_pid_for_children, f.ns_net,
                                  f.ns_cgroup, f.ns_time, f.ns_time_for_children);

  const auto absent = [&](const char* column, bool there, const char* field) {
    if (!there) f.missing.push_back({{column}, fmt::format("{} is not in this kernel", field)});
  };
  absent("seccomp", f.seccomp.exists(), "task_struct.seccomp.mode");
  absent("login_uid", f.login_uid.exists(), "task_struct.loginuid");
  absent("audit_session", f.audit_session.exists(), "task_struct.sessionid");
  absent("ns_ipc", f.ns_ipc.exists(), "nsproxy.ipc_ns");
  absent("ns_net", f.ns_net.exists(), "nsproxy.net_ns");
  absent("ns_cgroup", f.ns_cgroup.exists(), "nsproxy.cgroup_ns");
  absent("ns_time", f.ns_time.exists(), "nsproxy.time_ns");
  absent("ns_time_for_children", f.ns_time_for_children.exists(), "nsproxy.time_ns_for_children");
  return f;
}

}  // namespace vitrine::linux::processes
