#include "rtnetlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct request {
  struct nlmsghdr header;
  char body[1024];
};

static void begin(struct request* request, unsigned short type, unsigned short flags,
                  const void* payload, size_t size) {
  memset(request, 0, sizeof *request);
  request->header.nlmsg_type = type;
  request->header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
  request->header.nlmsg_len = (unsigned)NLMSG_LENGTH(size);
  memcpy(NLMSG_DATA(&request->header), payload, size);
}

static struct rtattr* put(struct request* request, unsigned short type, const void* data,
                          size_t size) {
  struct rtattr* attribute =
      (struct rtattr*)((char*)request + NLMSG_ALIGN(request->header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = (unsigned short)RTA_LENGTH(size);
  if (size) memcpy(RTA_DATA(attribute), data, size);
  request->header.nlmsg_len =
      (unsigned)(NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
  return attribute;
}

static void put_text(struct request* request, unsigned short type, const char* text) {
  put(request, type, text, strlen(text) + 1);
}

static void end_nest(struct request* request, struct rtattr* nest) {
  nest->rta_len =
      (unsigned short)((char*)request + NLMSG_ALIGN(request->header.nlmsg_len) - (char*)nest);
}

static int talk(struct request* request) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  char answer[2048];
  int result = -EIO;
  if (send(fd, request, request->header.nlmsg_len, 0) >= 0) {
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    const struct nlmsghdr* header = (const struct nlmsghdr*)answer;
    if (got >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && header->nlmsg_type == NLMSG_ERROR)
      result = ((const struct nlmsgerr*)NLMSG_DATA(header))->error;
  }
  close(fd);
  return result;
}

static int change_link(const char* name, unsigned short type, const void* data, size_t size) {
  struct ifinfomsg info = {.ifi_index = (int)if_nametoindex(name)};
  struct request request;
  begin(&request, RTM_NEWLINK, 0, &info, sizeof info);
  put(&request, type, data, size);
  return talk(&request);
}

int link_add(const char* name, const char* kind) { return link_add_on(name, kind, NULL, -1); }

int link_add_on(const char* name, const char* kind, const char* lower, int vlan_id) {
  struct ifinfomsg info = {0};
  struct request request;
  begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
  put_text(&request, IFLA_IFNAME, name);
  if (lower) {
    unsigned index = if_nametoindex(lower);
    put(&request, IFLA_LINK, &index, sizeof index);
  }
  struct rtattr* link_info = put(&request, IFLA_LINKINFO, NULL, 0);
  put_text(&request, IFLA_INFO_KIND, kind);
  if (vlan_id >= 0) {
    unsigned short id = (unsigned short)vlan_id;
    struct rtattr* data = put(&request, IFLA_INFO_DATA, NULL, 0);
    put(&request, IFLA_VLAN_ID, &id, sizeof id);
    end_nest(&request, data);
  }
  end_nest(&request, link_info);
  return talk(&request);
}

int link_add_veth(const char* name, const char* peer) {
  struct ifinfomsg info = {0};
  struct request request;
  begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
  put_text(&request, IFLA_IFNAME, name);
  struct rtattr* link_info = put(&request, IFLA_LINKINFO, NULL, 0);
  put_text(&request, IFLA_INFO_KIND, "veth");
  struct rtattr* data = put(&request, IFLA_INFO_DATA, NULL, 0);
  struct rtattr* other = put(&request, VETH_INFO_PEER, &info, sizeof info);
  put_text(&request, IFLA_IFNAME, peer);
  end_nest(&request, other);
  end_nest(&request, data);
  end_nest(&request, link_info);
  return talk(&request);
}

int link_set_master(const char* name, const char* master) {
  unsigned index = if_nametoindex(master);
  return change_link(name, IFLA_MASTER, &index, sizeof index);
}

int link_set_namespace(const char* name, int pid) {
  return change_link(name, IFLA_NET_NS_PID, &pid, sizeof pid);
}

int link_set_address(const char* name, const unsigned char mac[6]) {
  return change_link(name, IFLA_ADDRESS, mac, 6);
}

int link_set_mtu(const char* name, unsigned mtu) {
  return change_link(name, IFLA_MTU, &mtu, sizeof mtu);
}

int link_set_flags(const char* name, unsigned flags) {
  struct ifinfomsg info = {
      .ifi_index = (int)if_nametoindex(name), .ifi_flags = flags, .ifi_change = flags};
  struct request request;
  begin(&request, RTM_NEWLINK, 0, &info, sizeof info);
  return talk(&request);
}

int address_add(const char* name, const char* address, int prefix, const char* label) {
  unsigned char bytes[16];
  int family = strchr(address, ':') ? AF_INET6 : AF_INET;
  size_t size = family == AF_INET6 ? 16 : 4;
  if (inet_pton(family, address, bytes) != 1) return -EINVAL;
  struct ifaddrmsg info = {.ifa_family = (unsigned char)family,
                           .ifa_prefixlen = (unsigned char)prefix,
                           .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
                           .ifa_index = if_nametoindex(name)};
  struct request request;
  begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
  put(&request, IFA_LOCAL, bytes, size);
  put(&request, IFA_ADDRESS, bytes, size);
  if (family == AF_INET && prefix < 31) {
    unsigned word;
    memcpy(&word, bytes, 4);
    word |= htonl(0xffffffffU >> prefix);
    put(&request, IFA_BROADCAST, &word, 4);
  }
  if (label) put_text(&request, IFA_LABEL, label);
  return talk(&request);
}

int route_add(const char* name, const char* destination, int prefix, const char* gateway) {
  unsigned char bytes[16];
  int family = strchr(destination, ':') ? AF_INET6 : AF_INET;
  size_t size = family == AF_INET6 ? 16 : 4;
  if (inet_pton(family, destination, bytes) != 1) return -EINVAL;
  struct rtmsg info = {.rtm_family = (unsigned char)family,
                       .rtm_dst_len = (unsigned char)prefix,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = RTPROT_STATIC,
                       .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                       .rtm_type = RTN_UNICAST};
  int index = (int)if_nametoindex(name);
  struct request request;
  begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
  if (prefix) put(&request, RTA_DST, bytes, size);
  put(&request, RTA_OIF, &index, sizeof index);
  if (gateway) {
    if (inet_pton(family, gateway, bytes) != 1) return -EINVAL;
    put(&request, RTA_GATEWAY, bytes, size);
  }
  return talk(&request);
}
