// Netlink and other address families.

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "actor.h"

ACTOR(
    netlink, "netlink",
    "netlink sockets: route with groups, uevent, generic, audit, sock_diag, with fixed port ids") {
  static const struct {
    int protocol;
    unsigned port, groups;
  } kinds[] = {{NETLINK_ROUTE, 77001, RTMGRP_LINK | RTMGRP_IPV4_IFADDR},
               {NETLINK_KOBJECT_UEVENT, 77002, 1},
               {NETLINK_GENERIC, 77003, 0},
               {NETLINK_AUDIT, 77004, 0},
               {NETLINK_SOCK_DIAG, 77005, 0},
               {NETLINK_ROUTE, 77006, 0}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
    int fd = socket(AF_NETLINK, i % 2 ? SOCK_DGRAM : SOCK_RAW, kinds[i].protocol);
    if (fd < 0) continue;
    struct sockaddr_nl where = {
        .nl_family = AF_NETLINK, .nl_pid = kinds[i].port, .nl_groups = kinds[i].groups};
    must(bind(fd, (struct sockaddr*)&where, sizeof where), "bind");
  }
  settle_and_stay(NULL);
}

ACTOR(families, "sock-other",
      "sockets of rarer families where the kernel has them: vsock, alg, key") {
  static const struct {
    int family, type, protocol;
  } kinds[] = {{40, SOCK_STREAM, 0}, {38, SOCK_SEQPACKET, 0}, {15, SOCK_RAW, 2}};
  int made = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i)
    made += socket(kinds[i].family, kinds[i].type, kinds[i].protocol) >= 0;
  settled("%d of 3", made);
  stay();
}
