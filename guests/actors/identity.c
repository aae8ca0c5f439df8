// Who a process is: ids, groups, capabilities, seccomp.

#define _GNU_SOURCE
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

ACTOR(ids, "ids", "uids 1001 1002 1003 1004 (real, effective, saved, fs) and gids 2001 to 2004") {
  must(setresgid(2001, 2002, 2003), "setresgid");
  prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
  setfsgid(2004);
  prctl(PR_SET_SECUREBITS, 1 << 2 /* NO_SETUID_FIXUP: keeps the right to choose the fs id */, 0, 0,
        0);
  must(setresuid(1001, 1002, 1003), "setresuid");
  setfsuid(1004);
  settle_and_stay(NULL);
}

ACTOR(user, "user",
      "an ordinary user: all ids 1000, groups 1000, 27, 44; loginuid 1000; no capabilities") {
  static const gid_t groups[] = {1000, 27, 44};
  try_write_file("/proc/self/loginuid", "1000");
  must(setgroups(3, groups), "setgroups");
  must(setresgid(1000, 1000, 1000), "setresgid");
  must(setresuid(1000, 1000, 1000), "setresuid");
  settle_and_stay(NULL);
}

ACTOR(many_groups, "groups-many", "300 supplementary groups") {
  static gid_t groups[300];
  for (unsigned i = 0; i < 300; ++i) groups[i] = 10000 + 3 * i;
  must(setgroups(300, groups), "setgroups");
  settle_and_stay(NULL);
}

ACTOR(high_ids, "ids-high", "uid 4294967294 and gid 2147483648: more than a signed number holds") {
  must(setresgid(2147483648u, 2147483648u, 2147483648u), "setresgid");
  must(setresuid(4294967294u, 4294967294u, 4294967294u), "setresuid");
  settle_and_stay(NULL);
}

static void set_capabilities(unsigned long long effective, unsigned long long permitted,
                             unsigned long long inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half) {
    data[half].effective = (unsigned)(effective >> (32 * half));
    data[half].permitted = (unsigned)(permitted >> (32 * half));
    data[half].inheritable = (unsigned)(inheritable >> (32 * half));
  }
  must(syscall(SYS_capset, &header, data), "capset");
}

ACTOR(capabilities, "caps",
      "five different capability sets: bounding, permitted, inheritable, effective, ambient") {
  const unsigned long long net_admin = 1ULL << CAP_NET_ADMIN, net_raw = 1ULL << CAP_NET_RAW,
                           syslog = 1ULL << CAP_SYSLOG, setpcap = 1ULL << CAP_SETPCAP;
  must(prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE, 0, 0, 0), "bounding");
  must(prctl(PR_CAPBSET_DROP, CAP_SYS_RAWIO, 0, 0, 0), "bounding");
  set_capabilities(net_admin | net_raw | setpcap, net_admin | net_raw | syslog | setpcap,
                   net_raw | syslog);
  must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0), "ambient");
  set_capabilities(net_admin, net_admin | net_raw | syslog, net_raw | syslog);
  prctl(PR_SET_SECUREBITS, 0x0f, 0, 0, 0);
  settle_and_stay(NULL);
}

ACTOR(no_new_privileges, "no-new-privs", "PR_SET_NO_NEW_PRIVS") {
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  settle_and_stay(NULL);
}

ACTOR(strict, "seccomp-strict", "seccomp mode 1: asleep in read, the only way to wait there") {
  int ends[2];
  must(pipe(ends), "pipe");
  char byte;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) != 0) fail("seccomp");
  // Strict mode allows read, write, _exit and sigreturn alone, and so not `settled`.
  while (write(kSettleFd, "ready ", 6) == 6 && read(ends[0], &byte, 1) > 0) {
  }
  syscall(SYS_exit, 1);
  return 1;
}

ACTOR(filtered, "seccomp-filter", "seccomp mode 2 with two filters") {
  struct sock_filter allow_but_reboot[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_reboot, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, allow_but_reboot};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  for (int i = 0; i < 2; ++i)
    must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), "seccomp");
  settle_and_stay(NULL);
}
