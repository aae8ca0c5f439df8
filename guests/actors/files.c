// One process with an open file of every kind, at fixed descriptors; the note lists them.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "actor.h"

static char note[1100];
static void tell(int fd, const char* what) {
  size_t used = strlen(note);
  snprintf(note + used, sizeof note - used, "%s%d=%s", used ? "," : "", fd, what);
}

// `from` may be negative: a kind that this kernel has not, which the note then lacks.
static void keep(int fd, int from, const char* what) {
  if (from < 0) return;
  place(from, fd, what);
  tell(fd, what);
}

static int create(const char* path, int flags) {
  return (int)must(open(path, flags | O_CREAT, 0644), path);
}

static void regular_files(void) {
  mkdir("/tmp/files", 0755);
  int fd = create("/tmp/files/regular", O_RDWR);
  must(ftruncate(fd, 5000), "ftruncate");
  must(lseek(fd, 1234, SEEK_SET), "lseek");
  keep(10, fd, "regular");
  fd = create("/tmp/files/append", O_WRONLY | O_APPEND);
  must(write(fd, "0123456789", 10), "write");
  keep(11, fd, "append");
  keep(12, open("/tmp/files/regular", O_RDONLY | O_CLOEXEC), "rdonly");
  keep(13, create("/tmp/files/deleted file", O_RDWR), "deleted");
  must(unlink("/tmp/files/deleted file"), "unlink");
  keep(14, open("/tmp/files", O_RDONLY | O_DIRECTORY), "dir");
  keep(15, open("/tmp", O_TMPFILE | O_RDWR, 0600), "tmpfile");
  keep(16, open("/tmp/files/regular", O_PATH), "path");
  keep(17, create("/tmp/files/name with space\nand newline", O_RDWR), "newline");
  keep(18, create("/tmp/files/latin-\xe9\xff", O_RDWR), "latin1");
  keep(19, create("/mnt/second/second-file", O_RDWR), "second");
  keep(20, open("/mnt/bind/bound-file", O_RDONLY), "bind");
  keep(21, create("/mnt/path with space/../overlay/in overlay", O_RDWR), "overlay");
  keep(22, dup(10), "dup10");
  fd = create("/tmp/files/far", O_RDWR | O_NONBLOCK | O_NOATIME);
  must(lseek64(fd, 5LL << 32, SEEK_SET), "lseek64");
  keep(23, fd, "far");
  fd = create("/tmp/files/name (deleted)", O_RDWR);
  keep(24, fd, "fake-deleted");
  fd = create("/tmp/files/locked", O_RDWR);
  flock(fd, LOCK_EX);
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};
  fcntl(fd, F_SETLK, &lock);
  keep(25, fd, "locked");
  fd = create("/tmp/files/renamed-from", O_RDWR);
  rename("/tmp/files/renamed-from", "/tmp/files/renamed-to");
  keep(26, fd, "renamed");
  keep(27, open("/mnt/file-target", O_RDONLY), "bound-file");
}

static void deep_path(void) {
  char path[PATH_MAX] = "/tmp/files";
  for (int level = 0; level < 30; ++level) {
    size_t used = strlen(path);
    snprintf(path + used, sizeof path - used, "/level-%02d-of-a-rather-deep-directory-tree", level);
    mkdir(path, 0755);
  }
  strcat(path, "/deep-file");
  keep(28, create(path, O_RDWR), "deep");
  char name[256];
  memset(name, 'n', 255);
  name[255] = 0;
  char full[300];
  snprintf(full, sizeof full, "/tmp/%s", name);
  keep(29, create(full, O_RDWR), "name255");
}

static void devices_and_pipes(void) {
  keep(30, open("/dev/null", O_RDWR), "null");
  keep(31, open("/dev/zero", O_RDONLY), "zero");
  keep(32, open("/dev/urandom", O_RDONLY), "urandom");
  keep(33, open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_NONBLOCK), "tty");
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0) {
    char* slave = ptsname(master);
    keep(35, open(slave, O_RDWR | O_NOCTTY), "pts");
    keep(34, master, "ptmx");
  }
  int ends[2];
  must(pipe2(ends, O_NONBLOCK), "pipe");
  must(write(ends[1], "unread", 6), "write");
  keep(36, ends[0], "pipe-read");
  keep(37, ends[1], "pipe-write");
  mkfifo("/tmp/files/fifo", 0644);
  keep(38, open("/tmp/files/fifo", O_RDWR | O_NONBLOCK), "fifo");
  keep(39, open("/proc/self/status", O_RDONLY), "proc");
}

static void anonymous_files(void) {
  keep(40, eventfd(7, EFD_SEMAPHORE), "eventfd");
  int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec far = {.it_value = {.tv_sec = 86400 * 365}};
  timerfd_settime(timer, 0, &far, NULL);
  keep(42, timer, "timerfd");
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGRTMIN + 3);
  keep(43, signalfd(-1, &signals, 0), "signalfd");
  int watch = inotify_init1(0);
  inotify_add_watch(watch, "/tmp/files", IN_DELETE_SELF);
  keep(44, watch, "inotify");
  keep(45, fanotify_init(FAN_CLASS_NOTIF, O_RDONLY), "fanotify");
  int memory = memfd_create("a memfd", MFD_ALLOW_SEALING);
  must(ftruncate(memory, 4096), "ftruncate memfd");
  fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  keep(46, memory, "memfd");
  keep(47, (int)syscall(SYS_pidfd_open, getpid(), 0), "pidfd");
  keep(48, (int)syscall(SYS_userfaultfd, O_NONBLOCK), "userfaultfd");
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1122334455667788};
  epoll_ctl(epoll, EPOLL_CTL_ADD, 40, &event);
  epoll_ctl(epoll, EPOLL_CTL_ADD, 36, &event);
  keep(41, epoll, "epoll");
  keep(49, open("/proc/self/ns/net", O_RDONLY), "netns");
  struct perf_event_attr counter = {.type = PERF_TYPE_SOFTWARE,
                                    .size = sizeof counter,
                                    .config = PERF_COUNT_SW_CPU_CLOCK,
                                    .disabled = 1};
  keep(50, (int)syscall(SYS_perf_event_open, &counter, 0, -1, -1, 0), "perf");
  union bpf_attr map = {
      .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 4};
  strcpy(map.map_name, "vitrine_map");
  keep(51, (int)syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map), "bpf-map");
  struct io_uring_params ring = {0};
  keep(52, (int)syscall(SYS_io_uring_setup, 4, &ring), "io_uring");
  struct mq_attr queue = {.mq_maxmsg = 3, .mq_msgsize = 100};
  keep(53, mq_open("/vitrine-queue", O_RDWR | O_CREAT, 0600, &queue), "mqueue");
}

ACTOR(files, "files", "an open file of every kind at descriptors 10 to 53; the note names them") {
  regular_files();
  deep_path();
  devices_and_pipes();
  anonymous_files();
  settled("%s", note);
  stay();
}

ACTOR(many_files, "files-many", "400 descriptors with gaps, the highest is 1000") {
  for (int i = 0; i < 400; ++i) must(dup2(0, 10 + 2 * i), "dup2");
  must(dup2(0, 1000), "dup2");
  settle_and_stay(NULL);
}

ACTOR(no_files, "files-none", "no open descriptor at all") {
  close(0);
  close(1);
  close(2);
  settle_and_stay(NULL);  // closes the last one
}

#include <sched.h>
static int share_files(void* unused) {
  (void)unused;
  set_comm("files-shared-2");
  stay();
}
ACTOR(shared_files, "files-shared",
      "two processes with one descriptor table (CLONE_FILES | CLONE_FS)") {
  static char stack[16384] __attribute__((aligned(16)));
  must(open("/etc/modules", O_RDONLY), "open");
  must(clone(share_files, stack + sizeof stack, CLONE_FILES | CLONE_FS | SIGCHLD, NULL), "clone");
  must(chdir("/mnt/second"), "chdir");
  settle_and_stay(NULL);
}

ACTOR(deleted_cwd, "cwd-deleted", "a working directory that has been removed") {
  mkdir("/tmp/going away", 0755);
  must(chdir("/tmp/going away"), "chdir");
  must(rmdir("/tmp/going away"), "rmdir");
  settle_and_stay(NULL);
}

ACTOR(jailed, "chroot", "a root and a working directory below /") {
  mkdir("/mnt/second/jail", 0755);
  mkdir("/mnt/second/jail/home", 0755);
  must(chroot("/mnt/second/jail"), "chroot");
  must(chdir("/home"), "chdir");
  must(open("/in-the-jail", O_CREAT | O_RDWR, 0644), "open");
  settle_and_stay(NULL);
}
