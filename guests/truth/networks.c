// Each network namespace: /proc/net as seen from inside, links and addresses as rtnetlink tells
// them.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot.h"
#include "source.h"

enum { kMaxNetworks = 64 };

static struct {
  ino_t inode;
  char path[300];
} networks[kMaxNetworks];
static size_t network_count;

static void note_network(const char* path) {
  struct stat info;
  if (stat(path, &info) != 0) return;
  for (size_t i = 0; i < network_count; ++i)
    if (networks[i].inode == info.st_ino) return;
  if (network_count == kMaxNetworks) return;
  networks[network_count].inode = info.st_ino;
  snprintf(networks[network_count].path, sizeof networks[0].path, "%s", path);
  ++network_count;
}

static void note_of_process(const char* name, void* unused) {
  (void)unused;
  char path[300];
  snprintf(path, sizeof path, "/proc/%s/ns/net", name);
  note_network(path);
}

static void note_held(const char* name, void* unused) {
  (void)unused;
  char path[300];
  snprintf(path, sizeof path, "/run/netns/%s", name);
  note_network(path);
}

static void put_address_text(struct json* out, const char* key, int family,
                             const struct rtattr* at) {
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(family, RTA_DATA(at), text, sizeof text)) json_text(out, key, text);
}

static void put_link_details(struct json* out, const struct rtattr* info) {
  int left = (int)RTA_PAYLOAD(info);
  for (const struct rtattr* at = RTA_DATA(info); RTA_OK(at, left); at = RTA_NEXT(at, left))
    if (at->rta_type == IFLA_INFO_KIND)
      json_bytes(out, "kind", RTA_DATA(at), strnlen(RTA_DATA(at), RTA_PAYLOAD(at)));
}

static void put_link_message(struct json* out, const struct nlmsghdr* header) {
  const struct ifinfomsg* link = NLMSG_DATA(header);
  static const struct {
    unsigned short type;
    const char* key;
    char shape;  // n number, t text, h bytes in hex, l nested link info
  } known[] = {{IFLA_IFNAME, "name", 't'},
               {IFLA_MTU, "mtu", 'n'},
               {IFLA_ADDRESS, "mac", 'h'},
               {IFLA_BROADCAST, "broadcast", 'h'},
               {IFLA_PROMISCUITY, "promiscuity", 'n'},
               {IFLA_MASTER, "master", 'n'},
               {IFLA_LINK, "link", 'n'},
               {IFLA_QDISC, "qdisc", 't'},
               {IFLA_TXQLEN, "txqlen", 'n'},
               {IFLA_OPERSTATE, "operstate", 'b'},
               {IFLA_GROUP, "group", 'n'},
               {IFLA_IFALIAS, "alias", 't'},
               {IFLA_LINK_NETNSID, "link_netnsid", 'n'},
               {IFLA_LINKINFO, "", 'l'}};
  json_open(out, NULL, '{');
  json_number(out, "index", link->ifi_index);
  json_number(out, "type", link->ifi_type);
  json_number(out, "flags", link->ifi_flags);
  int left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof *link));
  for (const struct rtattr* at = IFLA_RTA(link); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
      if ((at->rta_type & NLA_TYPE_MASK) != known[i].type) continue;
      switch (known[i].shape) {
        case 'n':
          json_number(out, known[i].key, *(const int*)RTA_DATA(at));
          break;
        case 'b':
          json_number(out, known[i].key, *(const unsigned char*)RTA_DATA(at));
          break;
        case 't':
          json_bytes(out, known[i].key, RTA_DATA(at), strnlen(RTA_DATA(at), RTA_PAYLOAD(at)));
          break;
        case 'h':
          json_hex(out, known[i].key, RTA_DATA(at), RTA_PAYLOAD(at));
          break;
        default:
          put_link_details(out, at);
      }
    }
  }
  json_close(out, '}');
}

static void put_address_message(struct json* out, const struct nlmsghdr* header) {
  const struct ifaddrmsg* address = NLMSG_DATA(header);
  json_open(out, NULL, '{');
  json_number(out, "index", address->ifa_index);
  json_number(out, "family", address->ifa_family);
  json_number(out, "prefix", address->ifa_prefixlen);
  json_number(out, "scope", address->ifa_scope);
  unsigned flags = address->ifa_flags;
  int left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof *address));
  for (const struct rtattr* at = IFA_RTA(address); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
    switch (at->rta_type) {
      case IFA_ADDRESS:
        put_address_text(out, "address", address->ifa_family, at);
        break;
      case IFA_LOCAL:
        put_address_text(out, "local", address->ifa_family, at);
        break;
      case IFA_BROADCAST:
        put_address_text(out, "broadcast", address->ifa_family, at);
        break;
      case IFA_LABEL:
        json_text(out, "label", RTA_DATA(at));
        break;
      case IFA_FLAGS:
        flags = *(const unsigned*)RTA_DATA(at);
        break;
    }
  }
  json_number(out, "flags", flags);
  json_close(out, '}');
}

static void put_dump(struct json* out, const char* key, unsigned short request_type,
                     void (*put)(struct json*, const struct nlmsghdr*)) {
  static char answer[65536] __attribute__((aligned(8)));
  struct {
    struct nlmsghdr header;
    struct ifinfomsg body;
  } request = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                          .nlmsg_type = request_type,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
  json_open(out, key, '[');
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  int more = fd >= 0 && send(fd, &request, request.header.nlmsg_len, 0) >= 0;
  while (more) {
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got <= 0) break;
    size_t left = (size_t)got;
    for (const struct nlmsghdr* header = (const struct nlmsghdr*)answer; NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) more = 0;
      if (more) put(out, header);
    }
  }
  if (fd >= 0) close(fd);
  json_close(out, ']');
}

static void put_network(struct json* out) {
  static const char* const files[] = {
      "tcp",       "tcp6",      "udp",        "udp6",  "udplite",    "udplite6",  "raw",
      "raw6",      "icmp",      "icmp6",      "unix",  "packet",     "netlink",   "dev",
      "if_inet6",  "route",     "ipv6_route", "arp",   "ptype",      "protocols", "sockstat",
      "sockstat6", "dev_mcast", "igmp",       "igmp6", "vlan/config"};
  json_open(out, "files", '{');
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
    char path[128];
    snprintf(path, sizeof path, "/proc/thread-self/net/%s", files[i]);
    put_file(out, files[i], path);
  }
  json_close(out, '}');
  put_dump(out, "links", RTM_GETLINK, put_link_message);
  put_dump(out, "addresses", RTM_GETADDR, put_address_message);
}

// A kernel without CONFIG_NET_NS has one network, which no file names: its key is empty.
static void put_the_network(struct json* out) {
  json_open(out, "", '{');
  put_network(out);
  json_close(out, '}');
}

void put_networks(struct json* out) {
  network_count = 0;
  note_network("/proc/thread-self/ns/net");
  int named = network_count != 0;
  each_name("/proc", 1, note_of_process, NULL);
  each_name("/run/netns", 0, note_held, NULL);
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  json_open(out, "networks", '{');
  if (!named && access("/proc/net", F_OK) == 0) put_the_network(out);
  for (size_t i = 0; i < network_count; ++i) {
    char key[32];
    snprintf(key, sizeof key, "%llu", (unsigned long long)networks[i].inode);
    json_open(out, key, '{');
    json_text(out, "through", networks[i].path);
    int fd = i ? open(networks[i].path, O_RDONLY | O_CLOEXEC) : -1;
    if (i == 0 || (fd >= 0 && setns(fd, CLONE_NEWNET) == 0)) {
      put_network(out);
    } else {
      put_error(out, "files");
    }
    if (fd >= 0) close(fd);
    json_close(out, '}');
  }
  json_close(out, '}');
  if (home < 0) return;
  setns(home, CLONE_NEWNET);
  close(home);
}
