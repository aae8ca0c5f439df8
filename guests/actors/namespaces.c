// One process (or more) in a namespace of each kind.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../init/rtnetlink.h"
#include "actor.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static void enter(int kind) {
  if (unshare(kind) == 0) return;
  if (errno == EINVAL || errno == ENOSYS) skip("the kernel has not this namespace");
  fail("unshare");
}

ACTOR(mount_ns, "ns-mnt",
      "a mount namespace with a mount of its own, one unmounted, and a file open on it") {
  enter(CLONE_NEWNS);
  mkdir("/tmp/only-in-ns-mnt", 0755);
  must(mount("inner", "/tmp/only-in-ns-mnt", "tmpfs", 0, "size=64k"), "mount");
  must(open("/tmp/only-in-ns-mnt/file", O_CREAT | O_RDWR, 0644), "open");
  umount("/mnt/private");
  settle_and_stay(NULL);
}

ACTOR(uts_ns, "ns-uts", "a UTS namespace whose host name is inner-host") {
  enter(CLONE_NEWUTS);
  must(sethostname("inner-host", 10), "sethostname");
  must(setdomainname("inner-domain", 12), "setdomainname");
  settle_and_stay(NULL);
}

ACTOR(ipc_ns, "ns-ipc", "an IPC namespace with a shared memory segment") {
  enter(CLONE_NEWIPC);
  int segment = (int)must(shmget(0x1234, 8192, IPC_CREAT | 0600), "shmget");
  must((long)shmat(segment, NULL, 0), "shmat");
  settle_and_stay(NULL);
}

static void pid_ns_child(void* unused) {
  (void)unused;
  mount("proc", "/proc", "proc", 0, NULL);
  start_child("ns-pid-second", settle_and_stay, NULL);
  settle_and_stay(NULL);
}

static void nested_pid_ns(void* unused) {
  (void)unused;
  enter(CLONE_NEWPID);
  start_child("ns-pid-deep", settle_and_stay, NULL);
  settle_and_stay(NULL);
}

ACTOR(pid_ns, "ns-pid",
      "pid namespaces, one in another: pid 1 and 2 inside, and three levels deep") {
  enter(CLONE_NEWPID | CLONE_NEWNS);
  must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
  start_child("ns-pid-first", pid_ns_child, NULL);
  start_child("ns-pid-middle", nested_pid_ns, NULL);
  settle_and_stay(NULL);
}

ACTOR(net_ns, "ns-net",
      "a network namespace with dummy1, one end of a veth pair, addresses and sockets of its own") {
  int write_fd, in_place[2], moved[2];
  must(pipe2(in_place, O_CLOEXEC), "pipe");
  must(pipe2(moved, O_CLOEXEC), "pipe");
  int read_fd = open_settle_pipe(&write_fd);
  pid_t pid = (pid_t)must(fork(), "fork");
  char byte = 'x';
  if (pid == 0) {
    adopt_settle_pipe(write_fd);
    close(read_fd);
    close(moved[1]);
    set_comm("ns-net-inside");
    enter(CLONE_NEWNET);
    must(write(in_place[1], &byte, 1), "write");
    if (read(moved[0], &byte, 1) != 1) fail("veth was not moved");
    link_set_flags("lo", IFF_UP);
    link_set_flags("veth1-inside", IFF_UP);
    address_add("veth1-inside", "10.99.0.2", 30, NULL);
    address_add("veth1-inside", "fd99::2", 126, NULL);
    link_add("dummy1", "dummy");
    link_set_address("dummy1", (const unsigned char*)"\x02\x76\x69\x74\x72\x12");
    link_set_flags("dummy1", IFF_UP | IFF_NOARP);
    address_add("dummy1", "10.98.0.1", 24, NULL);
    int fd = (int)must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(1001)};
    must(bind(fd, (struct sockaddr*)&where, sizeof where), "bind");
    must(listen(fd, 1), "listen");
    int udp = (int)must(socket(AF_INET6, SOCK_DGRAM, 0), "socket");
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(7002)};
    must(bind(udp, (struct sockaddr*)&six, sizeof six), "bind");
    settle_and_stay(NULL);
  }
  close(write_fd);
  close(in_place[1]);
  if (read(in_place[0], &byte, 1) == 1) {
    link_add_veth("veth1", "veth1-inside");
    link_set_address("veth1", (const unsigned char*)"\x02\x76\x69\x74\x72\x10");
    link_set_address("veth1-inside", (const unsigned char*)"\x02\x76\x69\x74\x72\x11");
    link_set_namespace("veth1-inside", pid);
    address_add("veth1", "10.99.0.1", 30, NULL);
    link_set_flags("veth1", IFF_UP);
    must(write(moved[1], &byte, 1), "write");
  }
  await_child(read_fd);
  settle_and_stay(NULL);
}

// A network namespace that no process is in: a bind mount and a descriptor hold it.
ACTOR(held_ns, "ns-net-held",
      "a network namespace held by a bind mount at /run/netns/held, with no process inside") {
  int home = (int)must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), "ns");
  mkdir("/run/netns", 0755);
  close((int)must(open("/run/netns/held", O_CREAT | O_WRONLY, 0644), "held"));
  enter(CLONE_NEWNET);
  must(mount("/proc/self/ns/net", "/run/netns/held", NULL, MS_BIND, NULL), "bind");
  must(setns(home, CLONE_NEWNET), "setns");
  settle_and_stay(NULL);
}

ACTOR(user_ns, "ns-user",
      "a user namespace where uid 1001 is root, with nested namespaces that it owns") {
  must(setresgid(1001, 1001, 1001), "setresgid");
  must(setresuid(1001, 1001, 1001), "setresuid");
  // A process that changed its ids owns its /proc files only after an exec, or when made dumpable.
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  enter(CLONE_NEWUSER);
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", "0 1001 1");
  write_file("/proc/self/gid_map", "0 1001 1");
  enter(CLONE_NEWUTS | CLONE_NEWNET);
  settle_and_stay(NULL);
}

ACTOR(cgroup_ns, "ns-cgroup", "a cgroup namespace whose root is /ns-root") {
  mkdir("/sys/fs/cgroup/ns-root", 0755);
  write_file("/sys/fs/cgroup/ns-root/cgroup.procs", "0");
  enter(CLONE_NEWCGROUP);
  settle_and_stay(NULL);
}

ACTOR(time_ns, "ns-time", "a time namespace a day ahead in CLOCK_BOOTTIME and CLOCK_MONOTONIC") {
  enter(CLONE_NEWTIME);
  write_file("/proc/self/timens_offsets", "monotonic 86400 0\nboottime 86400 0\n");
  start_child("ns-time-inside", settle_and_stay, NULL);
  settle_and_stay(NULL);
}

static void container_init(void* unused) {
  (void)unused;
  mount("proc", "/proc", "proc", 0, NULL);
  start_child("container-app", settle_and_stay, NULL);
  settle_and_stay(NULL);
}

ACTOR(container, "container",
      "what a container is: six namespaces, its own root on overlayfs and cgroup") {
  mkdir("/sys/fs/cgroup/container", 0755);
  write_file("/sys/fs/cgroup/container/cgroup.procs", "0");
  enter(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP);
  must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
  must(sethostname("container", 9), "sethostname");
  const char* root = "/mnt/container";
  mkdir(root, 0755);
  must(mount("container-layers", root, "tmpfs", 0, "size=1m"), "mount");
  mkdir("/mnt/container/lower", 0755);
  mkdir("/mnt/container/lower/proc", 0755);
  mkdir("/mnt/container/upper", 0755);
  mkdir("/mnt/container/work", 0755);
  mkdir("/mnt/container/merged", 0755);
  if (mount("overlay", "/mnt/container/merged", "overlay", 0,
            "lowerdir=/mnt/container/lower,upperdir=/mnt/container/upper,workdir=/mnt/container/"
            "work") < 0)
    skip("no overlayfs");
  must(chroot("/mnt/container/merged"), "chroot");
  must(chdir("/"), "chdir");
  start_child("container-init", container_init, NULL);
  settle_and_stay(NULL);
}
