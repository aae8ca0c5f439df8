// Memory maps.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

static const size_t kPage = 4096;

static char* map(size_t size, int protection, int flags, int fd) {
  char* at = mmap(NULL, size, protection, flags, fd, 0);
  if (at == MAP_FAILED) fail("mmap");
  return at;
}

static int sized_file(const char* path, size_t size) {
  int fd = (int)must(open(path, O_CREAT | O_RDWR, 0644), path);
  must(ftruncate(fd, (off_t)size), "ftruncate");
  return fd;
}

ACTOR(maps, "maps",
      "file private and shared, odd names, deleted file, shared anonymous, RWX anonymous, guard "
      "pages, "
      "executable memfd, sysv shm, locked, huge page advice, named anonymous; the note has "
      "addresses") {
  int file = sized_file("/tmp/mapped file", 8 * kPage);
  map(8 * kPage, PROT_READ, MAP_PRIVATE, file);
  char* shared = map(4 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file);
  shared[0] = 'x';
  if (mmap(NULL, 2 * kPage, PROT_READ, MAP_SHARED, file, 3 * (off_t)kPage) == MAP_FAILED)
    fail("mmap offset");
  int odd = sized_file("/tmp/map\nnewline \xe9", kPage);
  map(kPage, PROT_READ, MAP_PRIVATE, odd);
  int gone = sized_file("/tmp/mapped then deleted", kPage);
  map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, gone);
  unlink("/tmp/mapped then deleted");
  close(gone);

  char* anonymous = map(16 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  anonymous[0] = 1;
  char* rwx = map(3 * kPage, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  memcpy(rwx, "\x90\x90\xc3 shellcode", 13);
  char* guarded = map(3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  must(mprotect(guarded, kPage, PROT_NONE), "mprotect");
  must(mprotect(guarded + 2 * kPage, kPage, PROT_NONE), "mprotect");
  map(64UL << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

  int code = memfd_create("executable memfd", 0);
  must(ftruncate(code, (off_t)kPage), "ftruncate");
  map(kPage, PROT_READ | PROT_EXEC, MAP_PRIVATE, code);
  close(code);

  int segment = (int)must(shmget(0x76697472, 5 * kPage, IPC_CREAT | 0640), "shmget");
  must((long)shmat(segment, NULL, 0), "shmat");
  int private_segment = (int)must(shmget(IPC_PRIVATE, kPage, 0600), "shmget private");
  must((long)shmat(private_segment, NULL, SHM_RDONLY), "shmat");
  shmctl(private_segment, IPC_RMID, NULL);

  char* locked = map(2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  mlock(locked, 2 * kPage);
  char* huge = map(4UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  madvise(huge, 4UL << 20, MADV_HUGEPAGE);
  memset(huge, 7, 4UL << 20);
  char* secret = map(2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  madvise(secret, 2 * kPage, MADV_DONTDUMP);
  char* forked = map(2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  madvise(forked, 2 * kPage, MADV_DONTFORK);
  char* named = map(2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  prctl(0x53564d41 /* PR_SET_VMA */, 0, named, 2 * kPage, "a name");  // from 5.17 on
  int device = open("/dev/zero", O_RDWR);
  map(2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, device);
  map(2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1);
  settled("rwx=%p guarded=%p locked=%p huge=%p named=%p", (void*)rwx, (void*)guarded, (void*)locked,
          (void*)huge, (void*)named);
  stay();
}

ACTOR(many_maps, "maps-many", "300 separate maps beyond the usual ones") {
  char* base = map(600 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  for (size_t i = 0; i < 600; i += 2)
    must(mprotect(base + i * kPage, kPage, PROT_READ | PROT_WRITE), "mprotect");
  settled("base=%p", (void*)base);
  stay();
}

static void use_stack(size_t bytes) {
  volatile char block[65536];
  for (size_t i = 0; i < sizeof block; i += kPage) block[i] = 1;
  if (bytes > sizeof block) use_stack(bytes - sizeof block);
  __asm__ volatile("" ::"r"(block) : "memory");  // no tail call
}

ACTOR(stack, "maps-stack", "a stack grown to 6 MiB") {
  use_stack(6UL << 20);
  settle_and_stay(NULL);
}

ACTOR(heap, "maps-heap", "a heap of 3 MiB by brk") {
  char* start = sbrk(3 << 20);
  if (start == (char*)-1) fail("sbrk");
  memset(start, 1, 3 << 20);
  settle_and_stay(NULL);
}

static void copy_program(int to) {
  int from = (int)must(open("/proc/self/exe", O_RDONLY), "exe");
  char block[65536];
  ssize_t got;
  while ((got = read(from, block, sizeof block)) > 0) must(write(to, block, (size_t)got), "write");
  close(from);
}

// The copy's own name picks what it does: it settles, as the actor that its file is named after.
ACTOR(deleted_program, "exe-deleted", "an executable that has been deleted since") {
  char path[64];
  ssize_t length = must(readlink("/proc/self/exe", path, sizeof path - 1), "readlink");
  path[length] = 0;
  if (strncmp(path, "/tmp/", 5) == 0) {
    unlink(path);
    settle_and_stay(NULL);
  }
  mkdir("/tmp/a directory", 0755);
  int copy =
      (int)must(open("/tmp/a directory/exe-deleted", O_CREAT | O_WRONLY | O_CLOEXEC, 0755), "open");
  copy_program(copy);
  close(copy);
  execl("/tmp/a directory/exe-deleted", "exe-deleted", NULL);
  fail("execl");
}

static void run_memfd(void* unused) {
  (void)unused;
  int code = (int)must(memfd_create("/exe-memfd", MFD_CLOEXEC), "memfd_create");
  copy_program(code);
  char *argv[] = {"[kworker/u4:9]", NULL}, *envp[] = {NULL};
  syscall(SYS_execveat, code, "", argv, envp, AT_EMPTY_PATH);
  fail("execveat");
}

ACTOR(memfd_program, "exe-memfd",
      "a program that runs from a memfd and calls itself a kernel thread") {
  char path[64] = "";
  must(readlink("/proc/self/exe", path, sizeof path - 1), "readlink");
  if (strncmp(path, "/memfd:", 7) != 0) run_memfd(NULL);
  settle_and_stay(NULL);
}

ACTOR(read_only_limits, "limits",
      "resource limits of its own, oom_score_adj 500, coredump filter") {
  struct rlimit files = {77, 99}, core = {0, 0}, locked = {1 << 20, RLIM_INFINITY};
  must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
  must(setrlimit(RLIMIT_CORE, &core), "setrlimit");
  must(setrlimit(RLIMIT_MEMLOCK, &locked), "setrlimit");
  write_file("/proc/self/oom_score_adj", "500");
  write_file("/proc/self/coredump_filter", "0x7f");
  settle_and_stay(NULL);
}
