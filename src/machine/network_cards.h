// The network cards of a QEMU, as its monitor lists them. Pure: text in, values out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

struct NetworkCard {
  std::string name;  ///< QEMU's name of it, for set_link: "virtio-net-pci.0" or a device's id
  std::string model;
  std::string mac;      ///< lower case: "52:54:00:12:34:56"
  std::string backend;  ///< the netdev it is plugged into; empty: none
  std::string kind;     ///< of the backend: "user", "tap", "socket", "hubport"
};

/// What `info network` prints. At most 4096 cards; lines that are not understood are passed over.
/// Source: hmp_info_network() and print_net_client() in QEMU's net/net.c.
[[nodiscard]] std::vector<NetworkCard> parse_network_cards(std::string_view text);

}  // namespace vitrine
