// Network interfaces of the first network namespace; the actor `ns-net` makes another set in its
// own.

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "init.h"
#include "rtnetlink.h"

// The kernel would choose at random, and another way at each boot.
static void set_address(const char* name, unsigned char last) {
  const unsigned char mac[6] = {0x02, 0x76, 0x69, 0x74, 0x72, last};
  link_set_address(name, mac);
}

static void check(int result, const char* what) {
  if (result < 0) printf("init: interface %s: %s\n", what, strerror(-result));
}

void make_interfaces(void) {
  check(link_set_flags("lo", IFF_UP), "lo");

  if (!if_nametoindex("dummy0"))
    check(link_add("dummy0", "dummy"), "dummy0");  // the module made it
  set_address("dummy0", 1);
  check(link_set_mtu("dummy0", 1400), "dummy0 mtu");
  check(link_set_flags("dummy0", IFF_UP | IFF_PROMISC), "dummy0 up");
  check(address_add("dummy0", "10.77.0.1", 24, NULL), "dummy0 first");
  check(address_add("dummy0", "10.77.0.2", 24, "dummy0:two"), "dummy0 second");
  check(address_add("dummy0", "172.31.255.9", 32, NULL), "dummy0 host");
  check(address_add("dummy0", "fd77::1", 64, NULL), "dummy0 v6");
  check(address_add("dummy0", "2001:db8::77", 128, NULL), "dummy0 second v6");

  check(link_add_on("dummy0.42", "vlan", "dummy0", 42), "vlan");
  check(address_add("dummy0.42", "10.42.0.1", 16, NULL), "vlan address");
  check(link_set_flags("dummy0.42", IFF_UP), "vlan up");

  check(link_add("bridge0", "bridge"), "bridge0");
  check(link_add_veth("veth0", "veth0-peer"), "veth0");
  set_address("bridge0", 2);
  set_address("veth0", 3);
  set_address("veth0-peer", 4);
  check(link_set_master("veth0", "bridge0"), "veth0 master");
  check(link_set_flags("veth0", IFF_UP | IFF_ALLMULTI), "veth0 up");
  check(link_set_flags("veth0-peer", IFF_UP), "veth0-peer up");
  check(link_set_flags("bridge0", IFF_UP), "bridge0 up");
  check(address_add("bridge0", "192.168.77.1", 28, NULL), "bridge0 address");
  check(link_add("dummy-down", "dummy"), "dummy-down");
  set_address("dummy-down", 5);

  if (if_nametoindex("eth0")) {
    check(address_add("eth0", "10.0.2.15", 24, NULL), "eth0 address");
    check(link_set_flags("eth0", IFF_UP), "eth0 up");
    check(route_add("eth0", "0.0.0.0", 0, "10.0.2.2"), "eth0 route");
  }
}
