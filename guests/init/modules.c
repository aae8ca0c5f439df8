#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

// /etc/modules lists files, dependencies first: made by the build from each module's own
// `depends=`.
void load_modules(void) {
  FILE* list = fopen("/etc/modules", "re");
  if (!list) return;
  char path[512];
  while (fgets(path, sizeof path, list)) {
    path[strcspn(path, "\n")] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
      printf("init: module %s: %s\n", path, strerror(errno));
    if (fd >= 0) close(fd);
  }
  fclose(list);
}
