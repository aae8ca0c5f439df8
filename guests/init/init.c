#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../actors/actor.h"

enum { kMaxActors = 128, kSettleSeconds = 60 };
// Between "settled" and being asleep an actor runs a few instructions more.
enum { kQuietMicroseconds = 200000 };

static struct {
  const struct actor* actor;
  pid_t pid;
  int fd;
  char words[1200];
  size_t used;
} cast[kMaxActors];
static size_t cast_size;

static const char* const default_environment[] = {"PATH=/bin", "HOME=/", "TERM=vt100",
                                                  "VITRINE=actor", NULL};

static void mount_or_say(const char* type, const char* where, const char* options) {
  mkdir(where, 0755);
  if (mount(type, where, type, 0, options) < 0 && errno != EBUSY)
    printf("init: mount %s at %s: %s\n", type, where, strerror(errno));
}

static void early_mounts(void) {
  mkdir("/dev", 0755);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  int console = open("/dev/console", O_RDWR | O_NOCTTY);
  if (console >= 0) {
    for (int fd = 0; fd < 3; ++fd) dup2(console, fd);
    if (console > 2) close(console);
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  mount_or_say("proc", "/proc", NULL);
  mount_or_say("sysfs", "/sys", NULL);
  mount_or_say("devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666");
  mount_or_say("tmpfs", "/dev/shm", "mode=1777");
  mount_or_say("mqueue", "/dev/mqueue", NULL);
  mount_or_say("tmpfs", "/run", "mode=755,size=16m");
  mount_or_say("tmpfs", "/tmp", "mode=1777,size=64m");
  mount_or_say("cgroup2", "/sys/fs/cgroup", NULL);
  mount_or_say("debugfs", "/sys/kernel/debug", NULL);
  mount_or_say("tracefs", "/sys/kernel/tracing", NULL);
  mount_or_say("bpf", "/sys/fs/bpf", NULL);
}

static void set_sysctls(void) {
  static const char* const settings[][2] = {
      {"/proc/sys/kernel/hostname", "vitrine-guest"},
      {"/proc/sys/kernel/kptr_restrict", "0"},
      {"/proc/sys/kernel/dmesg_restrict", "0"},
      {"/proc/sys/kernel/unprivileged_userns_clone", "1"},
      {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
      {"/proc/sys/net/ipv6/conf/all/accept_dad", "0"},
      {"/proc/sys/net/ipv6/conf/default/accept_dad", "0"},
      {"/proc/sys/net/ipv6/conf/default/accept_ra", "0"},
      {"/proc/sys/net/ipv6/conf/default/router_solicitations", "0"},
      // Stable addresses: the same guest looks the same at each boot.
      {"/proc/sys/net/ipv6/conf/default/addr_gen_mode", "0"},
      {"/proc/sys/vm/unprivileged_userfaultfd", "1"},
  };
  for (size_t i = 0; i < sizeof settings / sizeof *settings; ++i)
    try_write_file(settings[i][0], settings[i][1]);  // absent on some kernels
}

static void start_actor(const struct actor* actor) {
  int ends[2];
  if (cast_size == kMaxActors || pipe2(ends, O_CLOEXEC) < 0) return;
  pid_t pid = fork();
  if (pid == 0) {
    char path[128];
    snprintf(path, sizeof path, "/actors/%s", actor->name);
    const char* const named[] = {actor->name, NULL};
    dup2(ends[1], kSettleFd);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
    for (int fd = kSettleFd + 1; fd < 512; ++fd) close(fd);
    execve(path, (char* const*)(actor->argv ? actor->argv : named),
           (char* const*)(actor->envp ? actor->envp : default_environment));
    _exit(127);
  }
  close(ends[1]);
  cast[cast_size].actor = actor;
  cast[cast_size].pid = pid;
  cast[cast_size].fd = ends[0];
  ++cast_size;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void await_actors(void) {
  const double deadline = now() + kSettleSeconds;
  for (;;) {
    struct pollfd waits[kMaxActors];
    size_t open_count = 0;
    for (size_t i = 0; i < cast_size; ++i) {
      waits[i] = (struct pollfd){.fd = cast[i].fd, .events = POLLIN};
      open_count += cast[i].fd >= 0;
    }
    if (open_count == 0 || now() > deadline) break;
    if (poll(waits, cast_size, 1000) < 0 && errno != EINTR) break;
    for (size_t i = 0; i < cast_size; ++i) {
      if (cast[i].fd < 0 || !waits[i].revents) continue;
      // The message is one short write; an actor's children may hold the pipe for longer.
      ssize_t got = read(cast[i].fd, cast[i].words, sizeof cast[i].words - 1);
      if (got > 0) cast[i].used = (size_t)got;
      close(cast[i].fd);
      cast[i].fd = -1;
    }
  }
}

// One line for each actor: name, pid, state, note. The truth printer passes this file on.
static void write_cast(void) {
  mkdir("/run/vitrine", 0755);
  FILE* file = fopen("/run/vitrine/actors", "we");
  if (!file) return;
  for (size_t i = 0; i < cast_size; ++i) {
    const char* words = cast[i].used      ? cast[i].words
                        : cast[i].fd >= 0 ? "failed did not settle in time"
                                          : "failed died without a word";
    const char* note = strchr(words, ' ');
    int length = note ? (int)(note - words) : (int)strlen(words);
    fprintf(file, "%s\t%d\t%.*s\t%s\n", cast[i].actor->name, cast[i].pid, length, words,
            note ? note + 1 : "");
    if (strncmp(words, "ready", 5) != 0) printf("init: actor %s: %s\n", cast[i].actor->name, words);
    if (cast[i].fd >= 0) close(cast[i].fd);
  }
  fclose(file);
}

static void start_truth_printer(void) {
  pid_t pid = fork();
  if (pid != 0) return;
  setsid();
  static char* const argv[] = {"truth", "/dev/ttyS1", NULL};
  static char* const envp[] = {"PATH=/bin", "HOME=/", NULL};
  execve("/bin/truth", argv, envp);
  printf("init: /bin/truth: %s\n", strerror(errno));
  _exit(127);
}

static double mark;
static void step(const char* name) {
  double time = now();
  printf("init: %s %.3f s\n", name, time - mark);
  mark = time;
}

int init_main(void) {
  umask(022);
  setsid();  // as every init: sessions and groups of its children are 1, not 0
  mark = now();
  setenv("PATH", "/bin", 1);
  early_mounts();
  prctl(PR_SET_NAME, "init");
  set_sysctls();
  step("mounts");
  load_modules();
  step("modules");
  make_mounts();
  make_interfaces();
  step("places");
  for (const struct actor* const* entry = __start_actors; entry < __stop_actors; ++entry)
    if (!(*entry)->on_request) start_actor(*entry);
  await_actors();
  write_cast();
  step("actors");
  usleep(kQuietMicroseconds);
  start_truth_printer();
  for (;;) {
    if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) pause();
  }
}
