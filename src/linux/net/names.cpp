#include "linux/net/names.h"

#include <fmt/core.h>

#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace vitrine::linux::net {
namespace {

using Named = std::pair<std::uint32_t, std::string_view>;

std::optional<std::string> find(std::span<const Named> names, std::uint32_t number) {
  for (const auto& [value, name] : names) {
    if (value == number) return std::string(name);
  }
  return std::nullopt;
}

std::string find_or_number(std::span<const Named> names, std::uint32_t number) {
  return find(names, number).value_or(std::to_string(number));
}

constexpr Named kStates[] = {{1, "ESTABLISHED"},    {2, "SYN_SENT"},   {3, "SYN_RECV"},
                             {4, "FIN_WAIT1"},      {5, "FIN_WAIT2"},  {6, "TIME_WAIT"},
                             {7, "CLOSE"},          {8, "CLOSE_WAIT"}, {9, "LAST_ACK"},
                             {10, "LISTEN"},        {11, "CLOSING"},   {12, "NEW_SYN_RECV"},
                             {13, "BOUND_INACTIVE"}};

constexpr Named kFamilies[] = {
    {kUnix, "unix"}, {kIpv4, "ipv4"}, {kIpv6, "ipv6"}, {kNetlink, "netlink"}, {kPacket, "packet"}};

constexpr Named kTypes[] = {{1, "stream"}, {2, "dgram"},     {3, "raw"},
                            {4, "rdm"},    {5, "seqpacket"}, {10, "packet"}};

constexpr Named kNetlinks[] = {{0, "route"},       {2, "usersock"},       {3, "firewall"},
                               {4, "sock_diag"},   {5, "nflog"},          {6, "xfrm"},
                               {7, "selinux"},     {8, "iscsi"},          {9, "audit"},
                               {10, "fib_lookup"}, {11, "connector"},     {12, "netfilter"},
                               {13, "ip6_fw"},     {14, "dnrtmsg"},       {15, "kobject_uevent"},
                               {16, "generic"},    {18, "scsitransport"}, {19, "ecryptfs"},
                               {20, "rdma"},       {21, "crypto"},        {22, "smc"}};

constexpr Named kEthernets[] = {{0x0003, "all"},
                                {0x0800, "ip"},
                                {0x0806, "arp"},
                                {0x8035, "rarp"},
                                {0x8100, "802.1q"},
                                {0x86dd, "ipv6"},
                                {0x8863, "pppoe-discovery"},
                                {0x8864, "pppoe-session"},
                                {0x888e, "eapol"},
                                {0x88a8, "802.1ad"},
                                {0x88cc, "lldp"},
                                {0x88f7, "ptp"},
                                {0x0004, "802.2"}};

constexpr Named kIpProtocols[] = {
    {0, "ip"},           {1, "icmp"},       {2, "igmp"},   {4, "ipencap"}, {6, "tcp"},
    {8, "egp"},          {12, "pup"},       {17, "udp"},   {22, "idp"},    {33, "dccp"},
    {41, "ipv6"},        {46, "rsvp"},      {47, "gre"},   {50, "esp"},    {51, "ah"},
    {58, "ipv6-icmp"},   {88, "eigrp"},     {89, "ospf"},  {94, "ipip"},   {103, "pim"},
    {108, "ipcomp"},     {112, "vrrp"},     {115, "l2tp"}, {132, "sctp"},  {136, "udplite"},
    {137, "mpls-in-ip"}, {143, "ethernet"}, {255, "raw"},  {262, "mptcp"}};

constexpr Named kHardwareTypes[] = {{0, "netrom"},
                                    {1, "ether"},
                                    {24, "ieee1394"},
                                    {32, "infiniband"},
                                    {256, "slip"},
                                    {257, "cslip"},
                                    {280, "can"},
                                    {512, "ppp"},
                                    {519, "rawip"},
                                    {768, "ipip"},
                                    {769, "tunnel6"},
                                    {772, "loopback"},
                                    {776, "sit"},
                                    {778, "gre"},
                                    {783, "irda"},
                                    {801, "ieee802.11"},
                                    {802, "ieee802.11/prism"},
                                    {803, "ieee802.11/radiotap"},
                                    {804, "ieee802.15.4"},
                                    {820, "phonet"},
                                    {823, "gre6"},
                                    {824, "netlink"},
                                    {825, "6lowpan"},
                                    {826, "vsockmon"},
                                    {65534, "none"},
                                    {65535, "void"}};

constexpr std::array<std::string_view, 19> kInterfaceFlags{
    "UP",        "BROADCAST", "DEBUG",    "LOOPBACK", "POINTOPOINT", "NOTRAILERS", "RUNNING",
    "NOARP",     "PROMISC",   "ALLMULTI", "MASTER",   "SLAVE",       "MULTICAST",  "PORTSEL",
    "AUTOMEDIA", "DYNAMIC",   "LOWER_UP", "DORMANT",  "ECHO"};

constexpr Named kOperstates[] = {
    {0, "unknown"}, {1, "notpresent"}, {2, "down"}, {3, "lowerlayerdown"},
    {4, "testing"}, {5, "dormant"},    {6, "up"}};

}  // namespace

std::string state_name(std::uint8_t state) { return find_or_number(kStates, state); }
std::string family_name(std::uint16_t family) { return find_or_number(kFamilies, family); }
std::string type_name(std::uint16_t type) { return find_or_number(kTypes, type); }
std::string netlink_name(std::uint16_t protocol) { return find_or_number(kNetlinks, protocol); }
std::string ip_protocol_name(std::uint16_t protocol) {
  return find_or_number(kIpProtocols, protocol);
}
std::string hardware_type_name(std::uint16_t type) { return find_or_number(kHardwareTypes, type); }
std::string operstate_name(std::uint32_t state) { return find_or_number(kOperstates, state); }

std::string ethernet_name(std::uint16_t protocol) {
  return find(kEthernets, protocol).value_or(fmt::format("0x{:04x}", protocol));
}

std::vector<std::string> interface_flag_names(std::uint32_t flags) {
  std::vector<std::string> names;
  for (std::size_t bit = 0; bit < 32; ++bit) {
    if ((flags >> bit & 1) == 0) continue;
    names.push_back(bit < kInterfaceFlags.size() ? std::string(kInterfaceFlags[bit])
                                                 : fmt::format("0x{:x}", 1u << bit));
  }
  return names;
}

}  // namespace vitrine::linux::net
