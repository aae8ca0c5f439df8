// What disturbs the guest: started on request only.

#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(void) {
  const char* text = getenv("SECONDS");
  return text ? atof(text) : 10;
}

ACTOR(leaf, "churn-exec", "what churn executes: it exits at once", .on_request = 1) { return 0; }

ACTOR(churn, "churn",
      "forks and exits as fast as it can for SECONDS, every eighth child with an exec",
      .on_request = 1) {
  const double end = now() + seconds();
  char *argv[] = {"churn-exec", "short-lived", NULL}, *envp[] = {NULL};
  for (unsigned round = 0; round % 64 || now() < end; ++round) {
    pid_t pid = fork();
    if (pid == 0) {
      if (round % 8 == 0) execve("/actors/churn-exec", argv, envp);
      _exit(0);
    }
    // Two live at a time: the list of tasks changes at both ends.
    if (round % 2) {
      waitpid(-1, NULL, 0);
      waitpid(-1, NULL, 0);
    }
  }
  while (waitpid(-1, NULL, 0) > 0) {
  }
  return 0;
}

// What the child of a clone() runs on; two, as a child may still leave one.
enum { kStack = 16 * 1024 };
static char stacks[2][kStack] __attribute__((aligned(64)));

static int leave(void* unused) {
  (void)unused;
  syscall(SYS_exit, 0);
  return 0;
}

ACTOR(churn_vfork, "churn-vfork",
      "starts and reaps processes that share its memory, as fast as it can, for SECONDS",
      .on_request = 1) {
  const double end = now() + seconds();
  for (unsigned round = 0; round % 64 || now() < end; ++round) {
    // As vfork() and posix_spawn() do: no memory is copied, and the parent waits.
    if (clone(leave, stacks[0] + kStack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL) < 0) break;
    waitpid(-1, NULL, 0);
  }
  return 0;
}

ACTOR(churn_threads, "churn-threads",
      "starts and ends threads as fast as it can for SECONDS",
      .on_request = 1) {
  const double end = now() + seconds();
  const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                    CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
  static volatile int tids[2];
  for (unsigned round = 0; round % 64 || now() < end; ++round) {
    const unsigned which = round % 2;
    // The stack is free once the kernel has cleared the number and woken us.
    for (int tid; (tid = tids[which]) != 0;) syscall(SYS_futex, &tids[which], FUTEX_WAIT, tid, NULL, NULL, 0);
    if (clone(leave, stacks[which] + kStack, flags, NULL, &tids[which], NULL, &tids[which]) < 0) break;
  }
  for (unsigned which = 0; which < 2; ++which)
    for (int tid; (tid = tids[which]) != 0;) syscall(SYS_futex, &tids[which], FUTEX_WAIT, tid, NULL, NULL, 0);
  return 0;
}

ACTOR(spinner, "spin", "runs (R) at nice 19 for SECONDS", .on_request = 1) {
  const double end = now() + seconds();
  setpriority(PRIO_PROCESS, 0, 19);
  volatile unsigned long count = 0;
  while (now() < end)
    for (int i = 0; i < 100000; ++i) ++count;
  return 0;
}
