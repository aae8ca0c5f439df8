// The truth printer: waits on a serial port for requests and answers with what the guest's kernel
// says about itself. It interprets nothing; whoever compares does.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "channel.h"
#include "snapshot.h"
#include "source.h"

static int serial_fd, port_fd;

static void answer_truth(struct channel* to) {
  static struct json out;
  out.used = 0;
  out.comma = 0;
  json_open(&out, NULL, '{');
  json_text(&out, "format", "vitrine-truth-1");
  json_text(&out, "encoding", "latin-1");
  json_number(&out, "printer", getpid());
  put_clocks(&out, "begin");
  put_kernel(&out);
  put_networks(&out);
  put_processes(&out);
  put_clocks(&out, "end");
  json_close(&out, '}');
  send_bytes(to, out.text, out.used);
  send_end(to, 0);
}

// Streams a file in large frames: seq files give a page at a time, whatever is asked.
static void answer_file(struct channel* to, const char* path) {
  static char block[1 << 16];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  int status = fd < 0 ? errno : 0;
  size_t used = 0;
  while (fd >= 0) {
    ssize_t got = read(fd, block + used, sizeof block - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = errno;
    if (got > 0) used += (size_t)got;
    if (got <= 0 || used == sizeof block) {
      send_bytes(to, block, used);
      used = 0;
    }
    if (got <= 0 || to->broken) break;
  }
  if (fd >= 0) close(fd);
  send_end(to, status);
}

static void send_name(const char* name, void* argument) {
  char line[300];
  int length = snprintf(line, sizeof line, "%s\n", name);
  send_bytes(argument, line, (size_t)length);
}

static void child_exec(char* const argv[], char* const envp[], int output) {
  int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(output >= 0 ? output : null, 1);
  dup2(output >= 0 ? output : null, 2);
  for (int fd = 3; fd < 64; ++fd) close(fd);
  setsid();
  execve(argv[0], argv, envp);
  _exit(127);
}

// Ends when the command has ended, even if something that it left behind holds its output open.
static void answer_command(struct channel* to, char* const argv[]) {
  static char block[1 << 16];
  char* const envp[] = {"PATH=/bin:/actors", "HOME=/", "TERM=vt100", NULL};
  int ends[2], status = 0;
  if (pipe2(ends, O_CLOEXEC) < 0) {
    send_end(to, 126);
    return;
  }
  pid_t pid = fork();
  if (pid == 0) child_exec(argv, envp, ends[1]);
  close(ends[1]);
  int ended = (int)syscall(SYS_pidfd_open, pid, 0);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  for (int over = 0;;) {
    ssize_t got = read(ends[0], block, sizeof block);
    if (got > 0) send_bytes(to, block, (size_t)got);
    if (got == 0 || (got < 0 && over) || to->broken) break;
    if (got > 0 || over) continue;
    struct pollfd waits[] = {{.fd = ends[0], .events = POLLIN},
                             {.fd = ended, .events = POLLIN},
                             {.fd = to->request_fd, .events = POLLIN}};
    poll(waits, 3, -1);
    over = waits[1].revents != 0;
    to->broken = (waits[2].revents & POLLIN) != 0;
  }
  if (to->broken) kill(-pid, SIGKILL);  // nobody waits for it any more
  close(ends[0]);
  if (ended >= 0) close(ended);
  waitpid(pid, &status, 0);
  send_end(to, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// The actor becomes a child of init, which reaps it: nothing of it stays with the printer.
static void answer_actor(struct channel* to, const char* name, const char* seconds) {
  char path[64], environment[64];
  snprintf(path, sizeof path, "/actors/%s", name);
  snprintf(environment, sizeof environment, "SECONDS=%s", *seconds ? seconds : "10");
  long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    char *const argv[] = {path, NULL}, *const envp[] = {environment, NULL};
    child_exec(argv, envp, -1);
  }
  char line[32];
  int length = snprintf(line, sizeof line, "%ld\n", pid);
  send_bytes(to, line, (size_t)length);
  send_end(to, pid < 0);
}

static int is_whole(const char* line) {
  const char* rest = strchr(line, ' ');
  const char* dot = rest ? memrchr(line, '.', (size_t)(rest - line)) : NULL;
  return dot && strlen(rest + 1) == strtoul(dot + 1, NULL, 10);
}

static void answer(char* line) {
  struct channel to = {.fd = serial_fd, .request_fd = serial_fd};
  if (!is_whole(line)) return;
  char* rest = line;
  char *id = strsep(&rest, " "), *way = strsep(&rest, " "), *command = strsep(&rest, " ");
  char* arguments = rest ? rest : "";
  if (!command) return;
  snprintf(to.id, sizeof to.id, "%s", id);
  if (strcmp(way, "port") == 0 && port_fd >= 0) to.fd = port_fd;
  char path[300];
  if (strcmp(command, "ping") == 0) {
    send_end(&to, 0);
  } else if (strcmp(command, "truth") == 0) {
    answer_truth(&to);
  } else if (strcmp(command, "kallsyms") == 0) {
    answer_file(&to, "/proc/kallsyms");
  } else if (strcmp(command, "btf") == 0) {
    snprintf(path, sizeof path, "/sys/kernel/btf/%s", arguments);
    answer_file(&to, path);
  } else if (strcmp(command, "btfs") == 0) {
    each_name("/sys/kernel/btf", 0, send_name, &to);
    send_end(&to, 0);
  } else if (strcmp(command, "file") == 0) {
    answer_file(&to, arguments);
  } else if (strcmp(command, "run") == 0) {
    for (char* at = arguments; *at; ++at)
      if (*at == '\x1e') *at = '\n';  // a request is one line
    answer_command(&to, (char*[]){"/bin/sh", "-c", arguments, NULL});
  } else if (strcmp(command, "load") == 0) {
    answer_command(&to, (char*[]){"/bin/modprobe", arguments, NULL});
  } else if (strcmp(command, "unload") == 0) {
    answer_command(&to, (char*[]){"/bin/rmmod", arguments, NULL});
  } else if (strcmp(command, "churn") == 0 || strcmp(command, "churn-vfork") == 0 || strcmp(command, "churn-threads") == 0 ||
             strcmp(command, "spin") == 0) {
    answer_actor(&to, command, arguments);
  } else {
    send_end(&to, 125);
  }
}

static int open_serial(const char* path) {
  int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  struct termios raw;
  if (fd < 0 || tcgetattr(fd, &raw) < 0) return -1;
  cfmakeraw(&raw);
  cfsetspeed(&raw, B115200);
  raw.c_cflag |= CLOCAL;
  tcsetattr(fd, TCSAFLUSH, &raw);
  return fd;
}

int main(int argc, char** argv) {
  static char line[65536];
  size_t used = 0;
  serial_fd = open_serial(argc > 1 ? argv[1] : "/dev/ttyS1");
  if (serial_fd < 0) {
    printf("truth: no serial port: %s\n", strerror(errno));
    return 1;
  }
  port_fd = open_port();
  const char* greeting = port_fd >= 0 ? "READY port\n" : "READY serial\n";
  if (write(serial_fd, greeting, strlen(greeting)) < 0) return 1;
  printf("truth: %s", greeting);
  for (;;) {
    ssize_t got = read(serial_fd, line + used, sizeof line - 1 - used);
    if (got <= 0) continue;
    used += (size_t)got;
    char* end;
    while ((end = memchr(line, '\n', used))) {
      *end = 0;
      size_t taken = (size_t)(end + 1 - line);
      answer(line);
      memmove(line, line + taken, used - taken);
      used -= taken;
    }
    if (used == sizeof line - 1) used = 0;  // no request is that long
  }
}
