// Control groups: nested, with odd names, frozen, limited, removed while occupied by a zombie.

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actor.h"

static void join_group(void* argument) {
  char path[256];
  snprintf(path, sizeof path, "/sys/fs/cgroup/vitrine/%s/cgroup.procs", (const char*)argument);
  write_file(path, "0");
  settle_and_stay(NULL);
}

static void group(const char* name) {
  char path[256];
  snprintf(path, sizeof path, "/sys/fs/cgroup/vitrine/%s", name);
  if (mkdir(path, 0755) < 0 && errno != EEXIST) fail(path);
}

ACTOR(cgroups, "cgroups",
      "processes in /vitrine/a, /vitrine/b/c/d, a group with spaces, a frozen one, one limited in "
      "pids and memory") {
  static char* const names[] = {"a",          "b",      "b/c",     "b/c/d",
                                "with space", "frozen", "limited", "empty"};
  static const char* const comms[] = {
      "cgroup-a",       NULL, NULL, "cgroup-deep", "cgroup-space", "cgroup-frozen",
      "cgroup-limited", NULL};
  if (mkdir("/sys/fs/cgroup/vitrine", 0755) < 0 && errno != EEXIST) fail("mkdir");
  try_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+pids +memory");
  try_write_file("/sys/fs/cgroup/vitrine/cgroup.subtree_control", "+pids +memory");
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
    group(names[i]);
    if (comms[i]) start_child(comms[i], join_group, names[i]);
  }
  try_write_file("/sys/fs/cgroup/vitrine/limited/pids.max", "17");
  try_write_file("/sys/fs/cgroup/vitrine/limited/memory.max", "16777216");
  if (try_write_file("/sys/fs/cgroup/vitrine/frozen/cgroup.freeze", "1") == 0) usleep(20000);
  settle_and_stay(NULL);
}
