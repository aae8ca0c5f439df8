#include "channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "source.h"

enum {
  kFrameBytes = 1 << 16,
  kWaitMilliseconds = 20,
  kSlowMilliseconds = 20000,
  kAbsentMilliseconds = 5000
};

int open_port(void) {
  DIR* ports = opendir("/sys/class/virtio-ports");
  if (!ports) return -1;
  int fd = -1;
  for (struct dirent* entry; fd < 0 && (entry = readdir(ports));) {
    char path[300];
    size_t size;
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    const char* name = slurp(path, &size);
    if (!name || size < 12 || memcmp(name, "vitrine.bulk", 12) != 0) continue;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  closedir(ports);
  return fd;
}

// Waits for a host that does not read, and for one that has not been announced to us yet; but not
// for ever.
static void push(struct channel* to, const char* bytes, size_t size) {
  int waited = 0;
  while (size && !to->broken) {
    struct pollfd waits[] = {{.fd = to->fd, .events = POLLOUT},
                             {.fd = to->request_fd, .events = POLLIN}};
    poll(waits, 2, kWaitMilliseconds);
    const struct pollfd ready = waits[0];
    if (waits[1].revents & POLLIN) to->broken = 1;
    if (to->broken) return;
    const int absent = (ready.revents & POLLHUP) != 0;
    if (absent) usleep(kWaitMilliseconds * 1000);
    ssize_t wrote = !absent && (ready.revents & POLLOUT) ? write(to->fd, bytes, size) : 0;
    if (wrote > 0) {
      bytes += wrote;
      size -= (size_t)wrote;
      waited = 0;
    } else {
      waited += kWaitMilliseconds;
      const int refused = wrote < 0 && errno != EAGAIN && errno != EINTR;
      to->broken = refused || waited > (absent ? kAbsentMilliseconds : kSlowMilliseconds);
    }
  }
}

void send_bytes(struct channel* to, const char* bytes, size_t size) {
  while (size) {
    size_t part = size < kFrameBytes ? size : kFrameBytes;
    char head[64];
    int length = snprintf(head, sizeof head, "VITRINE %s %zu\n", to->id, part);
    push(to, head, (size_t)length);
    push(to, bytes, part);
    bytes += part;
    size -= part;
  }
}

void send_end(struct channel* to, int status) {
  char line[64];
  int length = snprintf(line, sizeof line, "VITRINE %s end %d\n", to->id, status);
  push(to, line, (size_t)length);
}
