// Threads, and a leader that has left.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

static pthread_barrier_t named;

static void* thread_body(void* argument) {
  char name[16];
  snprintf(name, sizeof name, "thread %d", (int)(long)argument);
  set_comm(name);
  pthread_barrier_wait(&named);
  stay();
}

static void start_threads(int count) {
  pthread_barrier_init(&named, NULL, (unsigned)count + 1);
  for (long i = 1; i <= count; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_body, (void*)i) != 0) fail("pthread_create");
  }
  pthread_barrier_wait(&named);
}

ACTOR(threads, "threads", "a process with 8 named threads beside the first") {
  start_threads(8);
  settle_and_stay(NULL);
}

ACTOR(leaderless, "leader-gone", "a process whose first thread has exited while two others live") {
  start_threads(2);
  settled("%s", "");
  syscall(SYS_exit, 0);  // this thread only
  stay();
}

static void* change_identity(void* argument) {
  set_comm("thread-uid");
  syscall(SYS_setresuid, 1007, 1007, 1007);  // the raw call: glibc's would change all threads
  pthread_barrier_wait(argument);
  stay();
}

ACTOR(mixed, "thread-creds", "a thread with credentials other than its process's") {
  static pthread_barrier_t changed;
  pthread_t thread;
  pthread_barrier_init(&changed, NULL, 2);
  if (pthread_create(&thread, NULL, change_identity, &changed) != 0) fail("pthread_create");
  pthread_barrier_wait(&changed);
  settle_and_stay(NULL);
}
