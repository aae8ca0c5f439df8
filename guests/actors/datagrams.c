// UDP, raw and packet sockets.

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor.h"

static int bound(int family, int type, int protocol, const char* ip, int port) {
  int fd = (int)must(socket(family, type, protocol), "socket");
  if (family == AF_INET6) {
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
    inet_pton(AF_INET6, ip, &in6.sin6_addr);
    must(bind(fd, (struct sockaddr*)&in6, sizeof in6), "bind v6");
  } else {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, ip, &in.sin_addr);
    must(bind(fd, (struct sockaddr*)&in, sizeof in), "bind v4");
  }
  return fd;
}

static void connect_to(int fd, int family, const char* ip, int port) {
  if (family == AF_INET6) {
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
    inet_pton(AF_INET6, ip, &in6.sin6_addr);
    must(connect(fd, (struct sockaddr*)&in6, sizeof in6), "connect v6");
  } else {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, ip, &in.sin_addr);
    must(connect(fd, (struct sockaddr*)&in, sizeof in), "connect v4");
  }
}

ACTOR(udp, "udp",
      "UDP bound (7001, [::]:7002), connected (7003 to 7001, [::1]:7004 to 7002), with a datagram "
      "unread, "
      "multicast, UDP-Lite 7005") {
  bound(AF_INET, SOCK_DGRAM, 0, "0.0.0.0", 7001);
  bound(AF_INET6, SOCK_DGRAM, 0, "::", 7002);
  int v4 = bound(AF_INET, SOCK_DGRAM, 0, "127.0.0.1", 7003);
  connect_to(v4, AF_INET, "127.0.0.1", 7001);
  must(send(v4, "datagram", 8, 0), "send");
  int v6 = bound(AF_INET6, SOCK_DGRAM, 0, "::1", 7004);
  connect_to(v6, AF_INET6, "::1", 7002);
  int group = bound(AF_INET, SOCK_DGRAM, 0, "239.7.7.7", 7006);
  struct ip_mreqn join = {.imr_multiaddr.s_addr = inet_addr("239.7.7.7"),
                          .imr_ifindex = (int)if_nametoindex("dummy0")};
  must(setsockopt(group, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join), "join");
  int lite = socket(AF_INET, SOCK_DGRAM, 136 /* UDP-Lite, gone from newer kernels */);
  if (lite >= 0) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(7005)};
    must(bind(lite, (struct sockaddr*)&in, sizeof in), "bind udplite");
  }
  settle_and_stay(NULL);
}

ACTOR(raw, "raw", "raw ICMP, raw protocol 89, raw ICMPv6, ping sockets v4 and v6") {
  must(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), "raw icmp");
  bound(AF_INET, SOCK_RAW, 89, "10.77.0.1", 0);
  must(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), "raw icmpv6");
  bound(AF_INET, SOCK_DGRAM, IPPROTO_ICMP, "127.0.0.1", 77);
  bound(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6, "::1", 78);
  settle_and_stay(NULL);
}

ACTOR(packet, "packet",
      "packet sockets: raw, datagram, bound to dummy0, and one that makes bridge0 promiscuous") {
  must(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP)), "packet raw");
  must(socket(AF_PACKET, SOCK_DGRAM, 0), "packet dgram");
  int on_dummy = (int)must(socket(AF_PACKET, SOCK_RAW, 0), "packet bound");
  struct sockaddr_ll where = {.sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_LOOP),
                              .sll_ifindex = (int)if_nametoindex("dummy0")};
  must(bind(on_dummy, (struct sockaddr*)&where, sizeof where), "bind dummy0");
  int sniffer = (int)must(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_LOOP)), "packet sniffer");
  struct packet_mreq all = {.mr_ifindex = (int)if_nametoindex("bridge0"),
                            .mr_type = PACKET_MR_PROMISC};
  if (all.mr_ifindex)
    must(setsockopt(sniffer, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all), "promiscuous");
  settle_and_stay(NULL);
}
