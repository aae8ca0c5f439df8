// The numbers of the network, by name. They are the kernel's interface to programs, so
// they are the same in every kernel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vitrine::linux::net {

// Source: include/linux/socket.h
inline constexpr std::uint16_t kUnix = 1;      ///< AF_UNIX
inline constexpr std::uint16_t kIpv4 = 2;      ///< AF_INET
inline constexpr std::uint16_t kIpv6 = 10;     ///< AF_INET6
inline constexpr std::uint16_t kNetlink = 16;  ///< AF_NETLINK
inline constexpr std::uint16_t kPacket = 17;   ///< AF_PACKET

// Source: include/net/tcp_states.h
inline constexpr std::uint8_t kEstablished = 1;
inline constexpr std::uint8_t kTimeWait = 6;
inline constexpr std::uint8_t kClose = 7;
inline constexpr std::uint8_t kListen = 10;
inline constexpr std::uint8_t kNewSynRecv = 12;

/// "ESTABLISHED" ... "NEW_SYN_RECV"; a number that is none of them, in decimal.
[[nodiscard]] std::string state_name(std::uint8_t state);
/// "unix", "ipv4", "ipv6", "netlink", "packet"; else the number.
[[nodiscard]] std::string family_name(std::uint16_t family);
/// "stream", "dgram", "raw", "rdm", "seqpacket", "packet"; else the number.
/// Source: include/linux/net.h, enum sock_type.
[[nodiscard]] std::string type_name(std::uint16_t type);
/// "route", "audit", "generic" ...; else the number. Source: include/uapi/linux/netlink.h.
[[nodiscard]] std::string netlink_name(std::uint16_t protocol);
/// "all", "ip", "arp", "ipv6" ...; else as "0x88cc". Source: include/uapi/linux/if_ether.h.
[[nodiscard]] std::string ethernet_name(std::uint16_t protocol);
/// "icmp", "tcp", "ipv6-icmp" ...; else the number. Source: IANA, as /etc/protocols has them.
[[nodiscard]] std::string ip_protocol_name(std::uint16_t protocol);

/// "ether", "loopback", "tunnel" ...; else the number. Source: include/uapi/linux/if_arp.h,
/// by the names that `ip link` prints.
[[nodiscard]] std::string hardware_type_name(std::uint16_t type);
/// IFF_*, without the prefix, by their bits: "UP", "BROADCAST", "LOOPBACK" ...; bits
/// without a name as "0x80000". Source: include/uapi/linux/if.h, enum net_device_flags.
[[nodiscard]] std::vector<std::string> interface_flag_names(std::uint32_t flags);
/// "unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up": as
/// /sys/class/net/NAME/operstate. Source: include/uapi/linux/if.h, IF_OPER_*.
[[nodiscard]] std::string operstate_name(std::uint32_t state);

}  // namespace vitrine::linux::net
