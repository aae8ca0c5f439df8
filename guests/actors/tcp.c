// TCP in every state that lasts. Ports are fixed; both ends of each connection are here.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor.h"

struct pair {
  int client;
  int server;
};

static int tcp(int family) { return (int)must(socket(family, SOCK_STREAM, 0), "socket"); }

static socklen_t address(struct sockaddr_storage* out, const char* ip, int port) {
  memset(out, 0, sizeof *out);
  if (strchr(ip, ':')) {
    struct sockaddr_in6* in6 = (struct sockaddr_in6*)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((unsigned short)port);
    inet_pton(AF_INET6, ip, &in6->sin6_addr);
    return sizeof *in6;
  }
  struct sockaddr_in* in = (struct sockaddr_in*)out;
  in->sin_family = AF_INET;
  in->sin_port = htons((unsigned short)port);
  inet_pton(AF_INET, ip, &in->sin_addr);
  return sizeof *in;
}

static int listener(const char* ip, int port, int only_v6) {
  struct sockaddr_storage where;
  socklen_t length = address(&where, ip, port);
  int fd = tcp(where.ss_family), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (where.ss_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6);
  must(bind(fd, (struct sockaddr*)&where, length), "bind");
  must(listen(fd, 5), "listen");
  return fd;
}

// Connects from `client_port` to the listener `at` on `ip`:`port`.
static struct pair establish(int at, const char* ip, int port, int client_port) {
  struct sockaddr_storage from, to;
  struct pair pair;
  socklen_t length = address(&from, ip, client_port);
  address(&to, ip, port);
  pair.client = tcp(from.ss_family);
  int on = 1;
  setsockopt(pair.client, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  must(bind(pair.client, (struct sockaddr*)&from, length), "bind client");
  must(connect(pair.client, (struct sockaddr*)&to, length), "connect");
  pair.server = (int)must(accept(at, NULL, NULL), "accept");
  return pair;
}

ACTOR(listening, "tcp-listen",
      "listeners on 0.0.0.0:1001, 127.0.0.1:1002, [::]:1003 (dual), [::]:1004 (v6 only), "
      "10.77.0.2:1005; 1006 bound, not listening; an unaccepted connection on 1002") {
  listener("0.0.0.0", 1001, 0);
  int backlog = listener("127.0.0.1", 1002, 0);
  listener("::", 1003, 0);
  listener("::", 1004, 1);
  listener("10.77.0.2", 1005, 0);
  struct sockaddr_storage where;
  socklen_t length = address(&where, "0.0.0.0", 1006);
  must(bind(tcp(AF_INET), (struct sockaddr*)&where, length), "bind");
  tcp(AF_INET);  // neither bound nor connected
  int waiting = tcp(AF_INET);
  length = address(&where, "127.0.0.1", 1002);
  must(connect(waiting, (struct sockaddr*)&where, length), "connect");
  (void)backlog;
  settle_and_stay(NULL);
}

ACTOR(
    established, "tcp-connected",
    "established pairs: 127.0.0.1:2001, [::1]:2002, v4 mapped into v6 on 2003, with unread bytes") {
  int v4 = listener("127.0.0.1", 2001, 0);
  int v6 = listener("::1", 2002, 1);
  struct pair first = establish(v4, "127.0.0.1", 2001, 42001);
  must(send(first.client, "thirteen byte", 13, 0), "send");
  establish(v6, "::1", 2002, 42002);
  int dual = listener("::", 2003, 0);
  establish(dual, "127.0.0.1", 2003, 42003);
  close(dual);
  settle_and_stay(NULL);
}

ACTOR(closing, "tcp-closing",
      "FIN_WAIT2 and CLOSE_WAIT (port 3001), FIN_WAIT1 (3002), FIN_WAIT2 and LAST_ACK (3003)") {
  int at = listener("127.0.0.1", 3001, 0);
  struct pair half = establish(at, "127.0.0.1", 3001, 43001);
  must(shutdown(half.client, SHUT_WR), "shutdown");

  // Bytes that the peer never reads keep the FIN behind them in the queue.
  int small = 4096;
  for (int port = 3002; port <= 3003; ++port) {
    int stuck_at = listener("127.0.0.1", port, 0);
    struct pair stuck = establish(stuck_at, "127.0.0.1", port, 40000 + port);
    setsockopt(stuck.server, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    setsockopt(stuck.client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (port == 3003) must(shutdown(stuck.client, SHUT_WR), "shutdown client");
    static char filler[65536];
    fcntl(stuck.server, F_SETFL, O_NONBLOCK);
    for (int quiet = 0; quiet < 20;) {
      if (send(stuck.server, filler, sizeof filler, MSG_NOSIGNAL) < 0) {
        if (errno != EAGAIN) fail("send");
        ++quiet;
        usleep(5000);
      }
    }
    must(shutdown(stuck.server, SHUT_WR), "shutdown server");
  }
  settle_and_stay(NULL);
}

ACTOR(connecting, "tcp-connecting",
      "SYN_SENT from 10.77.0.1:44001 to 10.77.0.99:4001, which nobody answers") {
  struct sockaddr_storage from, to;
  int fd = tcp(AF_INET), retries = 127;
  socklen_t length = address(&from, "10.77.0.1", 44001);
  address(&to, "10.77.0.99", 4001);
  setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &retries, sizeof retries);
  must(bind(fd, (struct sockaddr*)&from, length), "bind");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  // Without an ARP entry the neighbour would be found unreachable after three seconds.
  struct arpreq neighbour = {.arp_flags = ATF_COM | ATF_PERM, .arp_dev = "dummy0"};
  memcpy(&neighbour.arp_pa, &to, sizeof neighbour.arp_pa);
  neighbour.arp_ha.sa_family = ARPHRD_ETHER;
  memcpy(neighbour.arp_ha.sa_data, "\x02\x76\x69\x74\x72\x99", 6);
  must(ioctl(fd, SIOCSARP, &neighbour), "SIOCSARP");
  if (connect(fd, (struct sockaddr*)&to, length) < 0 && errno != EINPROGRESS) fail("connect");
  settle_and_stay(NULL);
}

// TIME_WAIT lasts 60 seconds: one is made every 40, so that there is always one, or two.
ACTOR(waiting, "tcp-timewait", "TIME_WAIT on 127.0.0.1:5001, renewed every 40 seconds") {
  int at = listener("127.0.0.1", 5001, 0);
  for (int round = 0;; ++round) {
    struct pair pair = establish(at, "127.0.0.1", 5001, 45001 + round % 1000);
    close(pair.client);  // the side that closes first waits
    char byte;
    must(read(pair.server, &byte, 1), "read");
    close(pair.server);
    if (round == 0) settled("%s", "");
    sleep(40);
  }
  return 0;
}

ACTOR(multipath, "tcp-multipath", "a multipath TCP listener on port 6001") {
  int fd = socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
  if (fd < 0) skip("no MPTCP");
  struct sockaddr_storage where;
  socklen_t length = address(&where, "127.0.0.1", 6001);
  must(bind(fd, (struct sockaddr*)&where, length), "bind");
  must(listen(fd, 3), "listen");
  settle_and_stay(NULL);
}
