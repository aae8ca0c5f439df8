#define _GNU_SOURCE
#include "actor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int settle_fd = kSettleFd;

static void say(const char* word, const char* format, va_list arguments) {
  char line[1200];
  int used = snprintf(line, sizeof line, "%s ", word);
  vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
  if (write(settle_fd, line, strlen(line)) < 0) _exit(3);
  close(settle_fd);
  settle_fd = -1;
}

void settled(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  say("ready", format, arguments);
  va_end(arguments);
}

void skip(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  say("skipped", format, arguments);
  va_end(arguments);
  _exit(0);
}

static void fail_with(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  say("failed", format, arguments);
  va_end(arguments);
  _exit(1);
}

void fail(const char* what) {
  fail_with("%s: %s", what, strerror(errno));
  _exit(1);
}

long must(long result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

void stay(void) {
  for (;;) pause();
}

void settle_and_stay(void* unused) {
  (void)unused;
  settled("%s", "");
  stay();
}

void set_comm(const char* comm) { prctl(PR_SET_NAME, comm); }

int open_settle_pipe(int* write_fd) {
  int ends[2];
  must(pipe2(ends, O_CLOEXEC), "pipe");
  *write_fd = ends[1];
  return ends[0];
}

void adopt_settle_pipe(int write_fd) {
  if (settle_fd >= 0) close(settle_fd);
  settle_fd = write_fd;
}

void await_child(int settle_read_fd) {
  char line[1200] = "";
  // The message is one short write, so one read has it whole; others may still hold the pipe.
  if (read(settle_read_fd, line, sizeof line - 1) < 0) fail("await_child");
  close(settle_read_fd);
  char* text = strchr(line, ' ');
  text = text ? text + 1 : line;
  if (strncmp(line, "skipped", 7) == 0) skip("%s", text);
  if (strncmp(line, "ready", 5) != 0) fail_with("child: %s", *text ? text : "died");
}

pid_t start_child(const char* comm, void (*body)(void* argument), void* argument) {
  int write_fd;
  int read_fd = open_settle_pipe(&write_fd);
  pid_t pid = (pid_t)must(fork(), "fork");
  if (pid == 0) {
    close(read_fd);
    adopt_settle_pipe(write_fd);
    if (comm) set_comm(comm);
    body(argument);
    _exit(0);
  }
  close(write_fd);
  await_child(read_fd);
  return pid;
}

int place(int from, int fd, const char* what) {
  must(from, what);
  if (from != fd) {
    must(dup2(from, fd), what);
    close(from);
  }
  return fd;
}

int try_write_file(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t wrote = write(fd, text, strlen(text));
  int saved = errno;
  close(fd);
  errno = saved;
  return wrote < 0 ? -1 : 0;
}

void write_file(const char* path, const char* text) {
  if (try_write_file(path, text) < 0) fail(path);
}
