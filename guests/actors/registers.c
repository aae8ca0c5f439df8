// Writes of model-specific registers whose number and values are known.

#define _GNU_SOURCE
#include <asm/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

ACTOR(gs_bases, "gs-bases",
      "COUNT calls of arch_prctl(ARCH_SET_GS, 0x10000 + i): without FSGSBASE each writes an MSR",
      .on_request = 1) {
  const char* text = getenv("COUNT");
  const long count = text ? atol(text) : 100;
  long failed = 0;
  for (long i = 0; i < count; ++i) failed += syscall(SYS_arch_prctl, ARCH_SET_GS, 0x10000 + i) != 0;
  printf("pid %d calls %ld failed %ld\n", getpid(), count, failed);
  return failed != 0;
}
