// Sessions, process groups and controlling terminals.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "actor.h"

static void own_group(void* unused) {
  must(setpgid(0, 0), "setpgid");
  settle_and_stay(unused);
}

static void own_session(void* unused) {
  must(setsid(), "setsid");
  start_child("session-member", settle_and_stay, NULL);
  start_child("session-group", own_group, NULL);
  settle_and_stay(unused);
}

ACTOR(sessions, "session", "a session of its own with two process groups") {
  start_child("session-leader", own_session, NULL);
  settle_and_stay(NULL);
}

static void terminal_owner(void* argument) {
  must(setsid(), "setsid");
  int slave = (int)must(open(argument, O_RDWR), "open slave");
  must(ioctl(slave, TIOCSCTTY, 0), "TIOCSCTTY");
  for (int fd = 0; fd < 3; ++fd) dup2(slave, fd);
  start_child("tty-background", own_group, NULL);
  settle_and_stay(NULL);
}

ACTOR(terminal, "tty",
      "a session with a pty as its controlling terminal, foreground and background group") {
  int master = (int)must(posix_openpt(O_RDWR | O_NOCTTY), "posix_openpt");
  must(grantpt(master), "grantpt");
  must(unlockpt(master), "unlockpt");
  start_child("tty-session", terminal_owner, ptsname(master));
  settle_and_stay(NULL);
}
