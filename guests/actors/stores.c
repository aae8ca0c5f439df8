// Every way to write memory that a watcher may have to follow: the page at 0x5ee500001000 is
// written by instructions of all kinds, by the kernel on the program's behalf, and by two threads
// at once.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor.h"

enum { kPage = 4096 };
static uint8_t* const page = (uint8_t*)0x5ee500001000;
// At an address that the code knows from where it stands.
static volatile uint64_t global;

static void plain(uint64_t i) {
  volatile uint8_t* at = page;
  at[0] = (uint8_t)i;
  *(volatile uint16_t*)(at + 2) = (uint16_t)(i * 3);
  *(volatile uint32_t*)(at + 4) = (uint32_t)(i * 5);
  *(volatile uint64_t*)(at + 8) = i * 7;
  *(volatile uint64_t*)(at + 8) += i;
  __asm__ volatile("incl %0\n\tnegw %1\n\tshlq $1, %2\n\tsete %3\n\t"
                   : "+m"(*(uint32_t*)(page + 16)), "+m"(*(uint16_t*)(page + 2)),
                     "+m"(*(uint64_t*)(page + 8)), "+m"(page[0])
                   :
                   : "cc");
  global = i;
}

static void atomics(uint64_t i) {
  uint64_t* at = (uint64_t*)(page + 64);
  __atomic_fetch_add(at, i, __ATOMIC_SEQ_CST);
  __atomic_exchange_n(at + 1, i, __ATOMIC_SEQ_CST);
  uint64_t found = at[2];
  __atomic_compare_exchange_n(at + 2, &found, i + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  found = ~0ULL;  // never there: nothing changes
  __atomic_compare_exchange_n(at + 2, &found, 77, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  __asm__ volatile("lock btcq %1, %0"
                   : "+m"(*at)
                   : "r"((uint64_t)(64 * 3 + i % 64))
                   : "cc", "memory");
  __asm__ volatile("btsq %1, %0" : "+m"(*at) : "r"((uint64_t)(64 * 4 + i % 64)) : "cc", "memory");
}

static void strings(uint64_t i) {
  void* to = page + 128;
  uint64_t count = 13;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"((uint32_t)i) : "memory");
  to = page + 200;
  count = 3;
  __asm__ volatile("std\n\trep stosq\n\tcld" : "+D"(to), "+c"(count) : "a"(i) : "memory");
  to = page + 208;
  const void* from = page + 128;
  __asm__ volatile("movsq" : "+D"(to), "+S"(from) : : "memory");
}

static void vectors(uint64_t i) {
  __asm__ volatile(
      "movq %0, %%xmm1\n\tpunpcklqdq %%xmm1, %%xmm1\n\tmovdqa %%xmm1, 256(%1)\n\t"
      "movhps %%xmm1, 280(%1)\n\tmovnti %0, 288(%1)"
      :
      : "r"(i), "r"(page)
      : "xmm1", "memory");
}

static void stack(uint64_t i) {
  __asm__ volatile(
      "movq %%rsp, %%r12\n\tmovq %1, %%rsp\n\tpushq %0\n\tpushq $5\n\tpopq 8(%%rsp)\n\t"
      "call 1f\n1:\n\tmovq %%r12, %%rsp"
      :
      : "r"(i), "r"(page + 512)
      : "r12", "memory");
}

static void kernel(uint64_t i) {
  int ends[2];
  if (pipe(ends) != 0) return;
  uint8_t bytes[40];
  memset(bytes, (int)i, sizeof bytes);
  if (write(ends[1], bytes, sizeof bytes) == sizeof bytes &&
      read(ends[0], page + 600, sizeof bytes) < 0)
    exit(2);
  close(ends[0]);
  close(ends[1]);
}

ACTOR(stores, "stores",
      "COUNT rounds of writes of all kinds to a page at 0x5ee500001000; prints it",
      .on_request = 1) {
  const char* text = getenv("COUNT");
  const long count = text ? atol(text) : 20;
  if (mmap(page, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED)
    return 1;
  for (long i = 0; i < count; ++i) {
    plain((uint64_t)i);
    atomics((uint64_t)i);
    strings((uint64_t)i);
    vectors((uint64_t)i);
    stack((uint64_t)i);
    kernel((uint64_t)i);
  }
  printf("pid %d global %p page ", getpid(), (void*)&global);
  for (int i = 0; i < kPage; ++i) printf("%02x", page[i]);
  printf("\n");
  return 0;
}

static void* hammer(void* argument) {
  const long count = *(long*)argument;
  uint64_t* at = (uint64_t*)page;
  for (long i = 0; i < count; ++i) {
    __atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST);
    *(volatile uint64_t*)(at + 1) = (uint64_t)i;
  }
  return NULL;
}

ACTOR(stores_raced, "stores-raced",
      "two threads: COUNT atomic additions to the word at 0x5ee500001000 and plain writes to the "
      "next",
      .on_request = 1) {
  const char* text = getenv("COUNT");
  long count = text ? atol(text) : 1000;
  if (mmap(page, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED)
    return 1;
  pthread_t one, other;
  if (pthread_create(&one, NULL, hammer, &count) != 0 ||
      pthread_create(&other, NULL, hammer, &count) != 0)
    return 1;
  pthread_join(one, NULL);
  pthread_join(other, NULL);
  printf("pid %d sum %ld\n", getpid(), (long)*(uint64_t*)page);
  return 0;
}
