// Scheduler states, priorities and affinities.

#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"

static void leave(void* unused) {
  (void)unused;
  settled("%s", "");
  _exit(42);
}

ACTOR(zombies, "zombie", "three zombies: exited with 42, killed by SIGTERM, killed by SIGKILL") {
  start_child("zombie-exited", leave, NULL);
  kill(start_child("zombie-sigterm", settle_and_stay, NULL), SIGTERM);
  kill(start_child("zombie-sigkill", settle_and_stay, NULL), SIGKILL);
  siginfo_t info;
  for (int i = 0; i < 3; ++i) {  // all three have died when one that is dead can be seen thrice
    memset(&info, 0, sizeof info);
    must(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), "waitid");
    usleep(20000);
  }
  settle_and_stay(NULL);
}

ACTOR(stopped, "stopped", "a child stopped by SIGSTOP (T)") {
  pid_t pid = start_child("stopped-child", settle_and_stay, NULL);
  kill(pid, SIGSTOP);
  must(waitpid(pid, NULL, WUNTRACED), "waitpid");
  settle_and_stay(NULL);
}

ACTOR(traced, "tracer", "a child stopped by ptrace (t)") {
  pid_t pid = start_child("traced-child", settle_and_stay, NULL);
  must(ptrace(PTRACE_ATTACH, pid, 0, 0), "ptrace");
  must(waitpid(pid, NULL, 0), "waitpid");
  settle_and_stay(NULL);
}

// A vfork parent sleeps uninterruptibly (D) for as long as its child neither execs nor exits.
ACTOR(uninterruptible, "vfork-parent", "a process in state D, waiting for its vfork child") {
  if (vfork() == 0) {
    set_comm("vfork-child");
    settled("%s", "");  // for both: the parent cannot
    for (;;) pause();
  }
  stay();
}

static void set_policy(void* argument) {
  const int policy = (int)(long)argument;
  struct sched_param parameter = {.sched_priority = policy == SCHED_FIFO ? 7
                                                    : policy == SCHED_RR ? 3
                                                                         : 0};
  must(sched_setscheduler(0, policy, &parameter), "sched_setscheduler");
  settle_and_stay(NULL);
}

static void set_nice(void* argument) {
  must(setpriority(PRIO_PROCESS, 0, (int)(long)argument), "setpriority");
  settle_and_stay(NULL);
}

static void set_affinity(void* unused) {
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  must(sched_setaffinity(0, sizeof first, &first), "sched_setaffinity");
  settle_and_stay(unused);
}

ACTOR(schedules, "schedules",
      "children: FIFO 7, RR 3, BATCH, IDLE, nice 7, nice -5, bound to cpu 0") {
  start_child("sched-fifo", set_policy, (void*)SCHED_FIFO);
  start_child("sched-rr", set_policy, (void*)SCHED_RR);
  start_child("sched-batch", set_policy, (void*)SCHED_BATCH);
  start_child("sched-idle", set_policy, (void*)SCHED_IDLE);
  start_child("nice-plus", set_nice, (void*)7);
  start_child("nice-minus", set_nice, (void*)-5);
  start_child("affinity", set_affinity, NULL);
  settle_and_stay(NULL);
}

ACTOR(signals, "signals",
      "signals blocked, ignored, caught and pending; a posix timer and an interval timer") {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigaddset(&blocked, SIGRTMIN + 5);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  signal(SIGHUP, SIG_IGN);
  signal(SIGUSR2, (void (*)(int))(void*)stay);
  kill(getpid(), SIGUSR1);
  union sigval value = {.sival_int = 7};
  sigqueue(getpid(), SIGRTMIN + 5, value);
  sigqueue(getpid(), SIGRTMIN + 5, value);
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
  struct itimerspec far = {.it_value = {.tv_sec = 1000000}};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) timer_settime(timer, 0, &far, NULL);
  struct itimerval late = {.it_value = {.tv_sec = 900000}};
  setitimer(ITIMER_REAL, &late, NULL);
  umask(027);
  settle_and_stay(NULL);
}

static void orphan_child(void* unused) {
  (void)unused;
  if (must(fork(), "fork") == 0) {
    set_comm("orphan");
    while (getppid() != 1) usleep(1000);
    settle_and_stay(NULL);
  }
  _exit(0);
}

ACTOR(orphans, "orphan-maker", "a process named orphan that init has adopted") {
  int write_fd, read_fd = open_settle_pipe(&write_fd);
  pid_t pid = (pid_t)must(fork(), "fork");
  if (pid == 0) {
    adopt_settle_pipe(write_fd);
    close(read_fd);
    orphan_child(NULL);
  }
  close(write_fd);
  waitpid(pid, NULL, 0);
  await_child(read_fd);
  settle_and_stay(NULL);
}

static void descend(void* argument) {
  long depth = (long)argument;
  char name[16];
  snprintf(name, sizeof name, "generation-%ld", depth);
  set_comm(name);
  if (depth < 5) start_child(NULL, descend, (void*)(depth + 1));
  settle_and_stay(NULL);
}

ACTOR(generations, "generations", "a chain of five descendants, generation-1 to generation-5") {
  start_child(NULL, descend, (void*)1);
  settle_and_stay(NULL);
}

ACTOR(worker, "cpu-time", "0.3 s of user time already spent, then asleep") {
  while (clock() < CLOCKS_PER_SEC * 3 / 10) {
  }
  settle_and_stay(NULL);
}
