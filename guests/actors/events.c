// What the event engine is measured by: acts whose number and arguments are known. All on
// request; each prints what it did and ends.

#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"

static long number_of(const char* name, long otherwise) {
  const char* text = getenv(name);
  return text ? atol(text) : otherwise;
}

static double seconds_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// A call that no library makes: lseek on a descriptor that is none. It fails with EBADF (9).
enum { kNoDescriptor = -77, kWhence = 0x1234 };

ACTOR(calls, "calls", "COUNT calls of lseek(-77, i, 0x1234), i from 0: each fails with EBADF",
      .on_request = 1) {
  const long count = number_of("COUNT", 1000);
  long failed = 0;
  for (long i = 0; i < count; ++i) failed += syscall(SYS_lseek, kNoDescriptor, i, kWhence) == -1;
  printf("pid %d calls %ld failed %ld\n", getpid(), count, failed);
  return 0;
}

ACTOR(calls_compat, "calls-compat", "COUNT calls of lseek(-77, i, 0x1234) by int $0x80",
      .on_request = 1) {
  const long count = number_of("COUNT", 1000);
  long failed = 0;
  for (long i = 0; i < count; ++i) {
    int result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(19), "b"(kNoDescriptor), "c"((int)i), "d"(kWhence)
                     : "memory", "r8", "r9", "r10", "r11");
    failed += result == -9;
  }
  printf("pid %d calls %ld failed %ld\n", getpid(), count, failed);
  return 0;
}

ACTOR(call_loop, "call-loop", "getppid as fast as it can for SECONDS; prints how many a second",
      .on_request = 1) {
  const double seconds = (double)number_of("SECONDS", 2);
  const double begin = seconds_now();
  double now = begin;
  long count = 0;
  while (now < begin + seconds) {
    for (int i = 0; i < 10000; ++i) syscall(SYS_getppid);
    count += 10000;
    now = seconds_now();
  }
  printf("calls %ld rate %.0f\n", count, (double)count / (now - begin));
  return 0;
}

ACTOR(interrupted, "interrupted",
      "COUNT reads of an empty pipe that a signal interrupts: restarted, then ended by one that is "
      "not",
      .on_request = 1) {
  const long count = number_of("COUNT", 20);
  int ends[2];
  if (pipe(ends) < 0) return 1;
  printf("pid %d\n", getpid());
  fflush(stdout);
  for (long i = 0; i < count; ++i) {
    pid_t child = fork();
    if (child == 0) {
      usleep(2000);
      kill(getppid(), SIGSTOP);  // the read is left, and restarted at SIGCONT
      usleep(2000);
      kill(getppid(), SIGCONT);
      usleep(2000);
      _exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
    }
    char byte;
    if (syscall(SYS_read, ends[0], &byte, 1L) != 1) return 1;
    waitpid(child, NULL, 0);
  }
  printf("reads %ld\n", count);
  return 0;
}

ACTOR(refused, "refused",
      "COUNT calls of lseek that seccomp refuses with ENODATA (61), and as many by int $0x80 with "
      "ETIME (62)",
      .on_request = 1) {
  struct sock_filter no_lseek[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 3, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 3, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 19, 1, 2),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENODATA),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ETIME),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof no_lseek / sizeof *no_lseek, no_lseek};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    return 1;
  const long count = number_of("COUNT", 1000);
  long native = 0, compat = 0;
  for (long i = 0; i < count; ++i) {
    native += syscall(SYS_lseek, kNoDescriptor, i, kWhence) == -1 && errno == ENODATA;
    int result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(19), "b"(kNoDescriptor), "c"((int)i), "d"(kWhence)
                     : "memory", "r8", "r9", "r10", "r11");
    compat += result == -ETIME;
  }
  printf("pid %d native %ld compat %ld\n", getpid(), native, compat);
  return 0;
}

ACTOR(
    aliases, "aliases",
    "one page of code at 0x5ee600000000 and at 0x5ee700000000: COUNT calls of offset 0x123 in the "
    "first, each between two in the second",
    .on_request = 1) {
  static const uint8_t code[] = {0x89, 0xf8, 0xff, 0xc0, 0xc3};  // mov eax, edi; inc eax; ret
  enum { kOffset = 0x123, kPage = 4096 };
  const long count = number_of("COUNT", 100);
  const int file = memfd_create("code", 0);
  if (file < 0 || ftruncate(file, kPage) != 0 ||
      pwrite(file, code, sizeof code, kOffset) != sizeof code)
    return 1;
  int (*functions[2])(int);
  for (int i = 0; i < 2; ++i) {
    void* at = (void*)(0x5ee600000000 + i * 0x100000000);
    if (mmap(at, kPage, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file, 0) != at) return 1;
    functions[i] = (int (*)(int))((uintptr_t)at + kOffset);
  }
  long right = 0;
  for (int i = 0; i < (int)count; ++i) {
    right += functions[1](i) == i + 1;
    right += functions[0](i) == i + 1;
    right += functions[1](i) == i + 1;
  }
  printf("pid %d right %ld\n", getpid(), right);
  return 0;
}

ACTOR(movers, "movers",
      "four processes of COUNT reads of a byte; each is moved to another CPU while it waits in one",
      .on_request = 1) {
  const long count = number_of("COUNT", 100), cpus = sysconf(_SC_NPROCESSORS_ONLN);
  enum { kMovers = 4 };
  int to[kMovers][2];
  pid_t mover[kMovers];
  for (int i = 0; i < kMovers; ++i) {
    if (pipe(to[i]) < 0) return 1;
    if ((mover[i] = fork()) != 0) continue;
    for (long n = 0; n < count; ++n) {
      char byte;
      if (syscall(SYS_read, to[i][0], &byte, 1L) != 1) _exit(1);
    }
    _exit(0);
  }
  for (long n = 0; n < count; ++n) {
    for (int i = 0; i < kMovers; ++i) {
      cpu_set_t where;
      CPU_ZERO(&where);
      CPU_SET((size_t)((n + i) % cpus), &where);
      if (sched_setaffinity(mover[i], sizeof where, &where) < 0) return 1;
      if (write(to[i][1], "x", 1) != 1) return 1;
    }
    usleep(200);
  }
  long ended = 0;
  for (int i = 0, status; i < kMovers; ++i)
    ended += waitpid(mover[i], &status, 0) == mover[i] && status == 0;
  printf("pid %d movers %ld reads %ld\n", getpid(), ended, kMovers * count);
  return 0;
}

ACTOR(writes, "writes", "COUNT writes of i to a word of its own at 0x5ee500000100; prints the end",
      .on_request = 1) {
  const long count = number_of("COUNT", 1000);
  volatile uint64_t* page = mmap((void*)0x5ee500000000, 4096, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (page == MAP_FAILED) return 1;
  for (long i = 0; i < count; ++i) page[32] = (uint64_t)i;
  printf("pid %d writes %ld value %ld\n", getpid(), count, (long)page[32]);
  return 0;
}

ACTOR(family, "family",
      "COUNT children one after another: child i exits with i % 100, every fourth by exec",
      .on_request = 1) {
  const long count = number_of("COUNT", 40);
  printf("pid %d\n", getpid());
  fflush(stdout);
  for (long i = 0; i < count; ++i) {
    pid_t child = fork();
    if (child == 0) {
      char* argv[] = {"churn-exec", NULL};
      if (i % 4 == 3) execve("/actors/churn-exec", argv, argv + 1);
      _exit((int)(i % 100));
    }
    int status = 0;
    waitpid(child, &status, 0);
    printf("child %d status %d\n", child, status);
  }
  return 0;
}
