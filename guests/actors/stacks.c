// Programs whose stacks are known: functions with frame pointers, one inside the other.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"

// A frame of its own, which the compiler neither folds away nor shortens by a tail call.
#define FRAME                       \
  __attribute__((noinline, noclone, \
                 optimize("no-omit-frame-pointer", "no-optimize-sibling-calls", "no-ipa-icf")))

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double until(void) {
  const char* text = getenv("SECONDS");
  return now() + (text ? atof(text) : 10);
}

static volatile int staying = 1;

FRAME static void frame_innermost(void) {
  settled("%s", "");
  while (staying) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_pause) : "rcx", "r11", "memory");
  }
}

FRAME static int frame_middle(int depth) {
  if (depth > 0) return frame_middle(depth - 1) + 1;
  frame_innermost();
  return 0;
}

FRAME static int frame_outermost(void) { return frame_middle(3) + 1; }

ACTOR(frames, "frames", "pause(2) in frame_innermost, four of frame_middle, frame_outermost") {
  return frame_outermost();
}

static volatile unsigned long burnt;

FRAME static void burn_cycles(double end) {
  while (now() < end)
    for (int i = 0; i < 1000000; ++i) ++burnt;
}

FRAME static int burn_outer(double end) {
  burn_cycles(end);
  return 1;
}

ACTOR(burn, "burn", "runs in burn_cycles, called by burn_outer, for SECONDS", .on_request = 1) {
  return burn_outer(until()) - 1;
}

ACTOR(burn_kernel, "burn-kernel", "reads /dev/urandom for SECONDS: the kernel is in chacha",
      .on_request = 1) {
  static char random[1 << 16];
  const double end = until();
  int fd = open("/dev/urandom", O_RDONLY);
  while (fd >= 0 && now() < end)
    for (int i = 0; i < 16; ++i)
      if (read(fd, random, sizeof random) < 0) return 1;
  return 0;
}
