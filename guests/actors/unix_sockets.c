// AF_UNIX in every type and state.

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "actor.h"

// `name` may begin with a NUL byte: an abstract address of `length` bytes.
static int bound(int type, const char* name, size_t length) {
  int fd = (int)must(socket(AF_UNIX, type, 0), "socket");
  struct sockaddr_un where = {.sun_family = AF_UNIX};
  memcpy(where.sun_path, name, length);
  must(bind(fd, (struct sockaddr*)&where,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
       "bind");
  return fd;
}

static int connected(int type, const char* name, size_t length) {
  int fd = (int)must(socket(AF_UNIX, type, 0), "socket");
  struct sockaddr_un where = {.sun_family = AF_UNIX};
  memcpy(where.sun_path, name, length);
  must(connect(fd, (struct sockaddr*)&where,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
       "connect");
  return fd;
}

#define NAME(text) text, sizeof(text) - 1

ACTOR(unix_sockets, "unix",
      "unix sockets: stream, datagram, seqpacket; path, abstract (with NUL bytes inside), unnamed, "
      "autobound, unlinked; listening, accepted, waiting") {
  int stream = bound(SOCK_STREAM, NAME("/tmp/stream socket"));
  must(listen(stream, 7), "listen");
  connected(SOCK_STREAM, NAME("/tmp/stream socket"));
  must(accept(stream, NULL, NULL), "accept");
  connected(SOCK_STREAM, NAME("/tmp/stream socket"));  // stays in the backlog

  int abstract = bound(SOCK_STREAM, NAME("\0vitrine-abstract"));
  must(listen(abstract, 1), "listen abstract");
  connected(SOCK_STREAM, NAME("\0vitrine-abstract"));
  must(accept(abstract, NULL, NULL), "accept abstract");
  bound(SOCK_DGRAM, NAME("\0with\0nul\xff\nbytes"));
  bound(SOCK_STREAM, NAME("\0"));  // an abstract name of no bytes beside the first

  bound(SOCK_DGRAM, NAME("/tmp/datagram-socket"));
  connected(SOCK_DGRAM, NAME("/tmp/datagram-socket"));
  int sequence = bound(SOCK_SEQPACKET, NAME("/tmp/seqpacket-socket"));
  must(listen(sequence, 3), "listen seqpacket");
  connected(SOCK_SEQPACKET, NAME("/tmp/seqpacket-socket"));
  must(accept(sequence, NULL, NULL), "accept seqpacket");

  int gone = bound(SOCK_STREAM, NAME("/tmp/unlinked-socket"));
  must(listen(gone, 1), "listen unlinked");
  unlink("/tmp/unlinked-socket");

  int automatic = (int)must(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
  struct sockaddr_un where = {.sun_family = AF_UNIX};
  must(bind(automatic, (struct sockaddr*)&where, sizeof(sa_family_t)), "autobind");

  char longest[108];
  memset(longest, 'p', sizeof longest);  // fills sun_path: no NUL at the end
  memcpy(longest, "/tmp/", 5);
  bound(SOCK_DGRAM, longest, sizeof longest);
  must(socket(AF_UNIX, SOCK_STREAM, 0), "unbound");
  int pair[2];
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  must(write(pair[0], "unread", 6), "write");
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  shutdown(pair[0], SHUT_WR);
  close(pair[1]);

  int parcel[2];  // a socket in flight inside another one: it has an inode but no owner
  must(socketpair(AF_UNIX, SOCK_DGRAM, 0, parcel), "socketpair");
  int inside = bound(SOCK_DGRAM, NAME("/tmp/in-flight"));
  char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &inside, sizeof inside);
  must(sendmsg(parcel[0], &message, 0), "sendmsg");
  close(inside);
  settle_and_stay(NULL);
}
