// What disturbs the guest: started on request only.

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/resource.h>
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

ACTOR(spinner, "spin", "runs (R) at nice 19 for SECONDS", .on_request = 1) {
  const double end = now() + seconds();
  setpriority(PRIO_PROCESS, 0, 19);
  volatile unsigned long count = 0;
  while (now() < end)
    for (int i = 0; i < 100000; ++i) ++count;
  return 0;
}
