// What is one for the whole machine.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "snapshot.h"
#include "source.h"

void put_clocks(struct json* out, const char* key) {
  static const struct {
    const char* name;
    clockid_t clock;
  } clocks[] = {{"realtime", CLOCK_REALTIME},
                {"monotonic", CLOCK_MONOTONIC},
                {"monotonic_raw", CLOCK_MONOTONIC_RAW},
                {"boottime", CLOCK_BOOTTIME}};
  json_open(out, key, '{');
  for (size_t i = 0; i < sizeof clocks / sizeof *clocks; ++i) {
    struct timespec time;
    clock_gettime(clocks[i].clock, &time);
    json_number(out, clocks[i].name, time.tv_sec * 1000000000LL + time.tv_nsec);
  }
  json_close(out, '}');
}

static void put_module(const char* name, void* argument) {
  static const char* const files[] = {"refcnt",   "initstate",  "taint",  "coresize",
                                      "initsize", "srcversion", "version"};
  static const char* const sections[] = {".text", ".init.text", ".rodata",
                                         ".data", ".bss",       ".gnu.linkonce.this_module"};
  struct json* out = argument;
  char path[300];
  snprintf(path, sizeof path, "/sys/module/%s/initstate", name);
  if (access(path, F_OK) != 0) return;  // built in
  json_open(out, name, '{');
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
    snprintf(path, sizeof path, "/sys/module/%s/%s", name, files[i]);
    put_file(out, files[i], path);
  }
  json_open(out, "sections", '{');
  for (size_t i = 0; i < sizeof sections / sizeof *sections; ++i) {
    snprintf(path, sizeof path, "/sys/module/%s/sections/%s", name, sections[i]);
    put_file(out, sections[i], path);
  }
  json_close(out, '}');
  json_close(out, '}');
}

static struct json* cgroup_out;
static int put_cgroup(const char* path, const struct stat* info, int kind, struct FTW* unused) {
  (void)unused;
  if (kind != FTW_D) return 0;
  static const char* const files[] = {
      "cgroup.procs",           "cgroup.type",   "cgroup.events", "cgroup.controllers",
      "cgroup.subtree_control", "cgroup.freeze", "pids.max",      "memory.max"};
  const char* name = path + strlen("/sys/fs/cgroup");
  json_open(cgroup_out, *name ? name : "/", '{');
  json_number(cgroup_out, "id", (long long)info->st_ino);
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
    char file[1024];
    snprintf(file, sizeof file, "%s/%s", path, files[i]);
    put_file(cgroup_out, files[i], file);
  }
  json_close(cgroup_out, '}');
  return 0;
}

// One string a record, as /dev/kmsg gives it: "priority,sequence,microseconds,flags;text".
static void put_kernel_log(struct json* out) {
  static char record[8192];
  json_open(out, "kmsg", '[');
  int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  while (fd >= 0) {
    ssize_t got = read(fd, record, sizeof record);
    if (got < 0 && (errno == EPIPE || errno == EINTR)) continue;  // records were overwritten
    if (got <= 0) break;
    json_bytes(out, NULL, record, (size_t)got);
  }
  if (fd >= 0) close(fd);
  json_close(out, ']');
}

void put_kernel(struct json* out) {
  static const char* const files[] = {
      "/proc/modules",
      "/proc/mounts",
      "/proc/version",
      "/proc/cmdline",
      "/proc/uptime",
      "/proc/stat",
      "/proc/meminfo",
      "/proc/interrupts",
      "/proc/softirqs",
      "/proc/loadavg",
      "/proc/cpuinfo",
      "/proc/iomem",
      "/proc/ioports",
      "/proc/filesystems",
      "/proc/devices",
      "/proc/misc",
      "/proc/locks",
      "/proc/partitions",
      "/proc/diskstats",
      "/proc/swaps",
      "/proc/cgroups",
      "/proc/consoles",
      "/proc/slabinfo",
      "/proc/vmstat",
      "/proc/key-users",
      "/proc/tty/drivers",
      "/proc/sysvipc/shm",
      "/proc/sysvipc/sem",
      "/proc/sysvipc/msg",
      "/proc/bus/pci/devices",
      "/proc/bus/input/devices",
      "/proc/sys/kernel/tainted",
      "/proc/sys/kernel/hostname",
      "/proc/sys/kernel/domainname",
      "/proc/sys/kernel/osrelease",
      "/proc/sys/kernel/version",
      "/proc/sys/kernel/pid_max",
      "/proc/sys/kernel/threads-max",
      "/proc/sys/kernel/ns_last_pid",
      "/proc/sys/kernel/random/boot_id",
      "/proc/sys/fs/file-nr",
      "/sys/devices/system/cpu/online",
      "/sys/devices/system/clocksource/clocksource0/current_clocksource",
      "/run/vitrine/actors"};
  json_open(out, "files", '{');
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) put_file(out, files[i], files[i]);
  json_close(out, '}');
  json_open(out, "modules", '{');
  each_name("/sys/module", 0, put_module, out);
  json_close(out, '}');
  json_open(out, "cgroups", '{');
  cgroup_out = out;
  nftw("/sys/fs/cgroup", put_cgroup, 1, FTW_PHYS);
  json_close(out, '}');
  put_hex_file(out, "notes", "/sys/kernel/notes");
  put_kernel_log(out);
}
