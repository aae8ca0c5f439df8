// Runs the actor that the executable's own file name asks for: argv[0] is free for odd values.

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../init/init.h"
#include "actor.h"

int main(int argc, char** argv) {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (getpid() == 1 && length < 0) return init_main();  // /proc is not mounted yet
  if (length < 0) return 2;
  path[length] = 0;
  char* name = strrchr(path, '/') + 1;
  char* deleted = strstr(name, " (deleted)");  // the kernel's mark, on a program in a memfd
  if (deleted) *deleted = 0;
  for (const struct actor* const* entry = __start_actors; entry < __stop_actors; ++entry)
    if (strcmp((*entry)->name, name) == 0) return (*entry)->run();
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    for (const struct actor* const* entry = __start_actors; entry < __stop_actors; ++entry)
      printf("%s\t%s\t%s\n", (*entry)->name, (*entry)->on_request ? "request" : "boot",
             (*entry)->shows);
    return 0;
  }
  fprintf(stderr, "no actor %s\n", name);
  return 2;
}
