// The few rtnetlink requests that build this guest's interfaces. Each returns 0 or -errno.
#pragma once

int link_add(const char* name, const char* kind);
int link_add_veth(const char* name, const char* peer);
int link_add_on(const char* name, const char* kind, const char* lower, int vlan_id);
int link_set_master(const char* name, const char* master);
int link_set_namespace(const char* name, int pid);
int link_set_address(const char* name, const unsigned char mac[6]);
int link_set_mtu(const char* name, unsigned mtu);
int link_set_flags(const char* name, unsigned flags);  // adds them, IFF_UP among others
// `address` in text; a `peer` or `label` may be NULL.
int address_add(const char* name, const char* address, int prefix, const char* label);
int route_add(const char* name, const char* destination, int prefix, const char* gateway);
