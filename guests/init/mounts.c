// Mounts with every property that a listing of mounts has to tell.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

static void attach(const char* source, const char* target, const char* type, unsigned long flags,
                   const char* options) {
  mkdir(target, 0755);
  if (mount(source, target, type, flags, options) < 0)
    printf("init: mount %s: %s\n", target, strerror(errno));
}

static void touch(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) printf("init: %s: %s\n", path, strerror(errno));
  if (fd >= 0) close(fd);
}

void make_mounts(void) {
  mkdir("/mnt", 0755);
  attach("options-source", "/mnt/options", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME,
         "size=1m,mode=700,uid=1001,gid=1002");
  attach("second", "/mnt/second", "tmpfs", 0, "size=4m");
  touch("/mnt/second/file-on-second-tmpfs", "second\n");
  mkdir("/mnt/second/inner", 0755);
  touch("/mnt/second/inner/bound-file", "bound\n");
  attach("/mnt/second/inner", "/mnt/bind", NULL, MS_BIND, NULL);
  attach("/mnt/second/inner", "/mnt/bind-read-only", NULL, MS_BIND, NULL);
  mount(NULL, "/mnt/bind-read-only", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL);
  touch("/mnt/file-target", "");
  mount("/mnt/second/file-on-second-tmpfs", "/mnt/file-target", NULL, MS_BIND, NULL);

  attach("a source with space", "/mnt/path with space", "tmpfs", MS_RDONLY, "size=64k");
  attach("odd", "/mnt/tab\tnewline\nbackslash\\hash#end", "tmpfs", 0, "size=64k");
  attach("latin", "/mnt/caf\xe9", "tmpfs", 0, "size=64k");

  attach("nest1", "/mnt/nest", "tmpfs", 0, "size=64k");
  attach("nest2", "/mnt/nest/inner", "tmpfs", 0, "size=64k");
  attach("nest3", "/mnt/nest/inner/innermost", "tmpfs", 0, "size=64k");
  attach("below", "/mnt/stacked", "tmpfs", 0, "size=64k");
  attach("above", "/mnt/stacked", "tmpfs", 0, "size=128k");  // hides the one below

  attach("shared", "/mnt/shared", "tmpfs", 0, "size=64k");
  mount(NULL, "/mnt/shared", NULL, MS_SHARED, NULL);
  attach("/mnt/shared", "/mnt/slave", NULL, MS_BIND, NULL);
  mount(NULL, "/mnt/slave", NULL, MS_SLAVE, NULL);
  attach("/mnt/shared", "/mnt/slave-and-shared", NULL, MS_BIND, NULL);
  mount(NULL, "/mnt/slave-and-shared", NULL, MS_SLAVE, NULL);
  mount(NULL, "/mnt/slave-and-shared", NULL, MS_SHARED, NULL);
  attach("private", "/mnt/private", "tmpfs", 0, "size=64k");
  mount(NULL, "/mnt/private", NULL, MS_PRIVATE, NULL);
  attach("unbindable", "/mnt/unbindable", "tmpfs", 0, "size=64k");
  mount(NULL, "/mnt/unbindable", NULL, MS_UNBINDABLE, NULL);
  attach("ram", "/mnt/ramfs", "ramfs", 0, NULL);

  attach("layers", "/mnt/layers", "tmpfs", 0, "size=1m");
  mkdir("/mnt/layers/lower", 0755);
  mkdir("/mnt/layers/upper", 0755);
  mkdir("/mnt/layers/work", 0755);
  touch("/mnt/layers/lower/from-lower", "lower\n");
  attach("overlay", "/mnt/overlay", "overlay", 0,
         "lowerdir=/mnt/layers/lower,upperdir=/mnt/layers/upper,workdir=/mnt/layers/work");
  touch("/mnt/overlay/from-upper", "upper\n");
}
