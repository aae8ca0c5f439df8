#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "linux/kernel.h"
#include "linux/net/address.h"
#include "linux/net/device_counters.h"
#include "linux/net/names.h"
#include "linux/net/net_namespaces.h"
#include "linux/views/all_views.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

enum Index : std::size_t {
  kNetns,
  kIndex,
  kName,
  kType,
  kFlags,
  kPromiscuous,
  kPromiscuity,
  kMtu,
  kMac,
  kAddresses,
  kOperstate,
  kKind,
  kMaster,
  kLower,
  kLink,
  kRxBytes,
  kRxPackets,
  kTxBytes,
  kTxPackets,
  kCounters,
  kAddress,
};

constexpr Column kColumns[] = {
    {"netns", ColumnType::integer, "network namespace: net:[inode] in /proc/PID/ns"},
    {"ifindex", ColumnType::integer, "number of the interface in its namespace"},
    {"name", ColumnType::text, "its name"},
    {"type", ColumnType::text, "hardware: ether, loopback, none ... (net_device.type)",
     Column::hidden},
    {"flags", ColumnType::list,
     "UP, BROADCAST, RUNNING, LOWER_UP ...: as `ip link` prints them, so PROMISC only if asked for "
     "by a "
     "user"},
    {"promiscuous", ColumnType::boolean,
     "it takes packets for everybody, whoever asked for that (IFF_PROMISC in net_device.flags)"},
    {"promiscuity", ColumnType::integer, "how many asked for that (net_device.promiscuity)",
     Column::hidden},
    {"mtu", ColumnType::integer, "largest packet, bytes"},
    {"mac", ColumnType::text, "hardware address"},
    {"addresses", ColumnType::list,
     "IPv4 and IPv6 addresses with their prefix: 10.0.0.2/24; of a tunnel: LOCAL peer "
     "REMOTE/PREFIX"},
    {"operstate", ColumnType::text,
     "up, down, unknown, dormant ... as /sys/class/net/NAME/operstate"},
    {"kind", ColumnType::text, "software device: veth, bridge, vlan, tun ... (rtnl_link_ops.kind)"},
    {"master", ColumnType::text, "the bridge, bond or team it belongs to", Column::hidden},
    {"lower", ColumnType::list, "interfaces that it stands upon or is made of", Column::hidden},
    {"link", ColumnType::integer,
     "of a vlan or a tunnel: ifindex of the interface below (0: any); of a veth: of the other end, "
     "in its namespace",
     Column::hidden},
    {"rx_bytes", ColumnType::size, "bytes received", Column::hidden},
    {"rx_packets", ColumnType::integer, "packets received", Column::hidden},
    {"tx_bytes", ColumnType::size, "bytes sent", Column::hidden},
    {"tx_packets", ColumnType::integer, "packets sent", Column::hidden},
    {"counters", ColumnType::text,
     "where these four were read: device (net_device.stats), lstats, tstats, dstats (one for each "
     "CPU), "
     "vlan, bridge, veth, virtio_net; else the driver's function that adds them up, and these four "
     "are "
     "missing: so for most hardware, and for veth and virtio_net before 5.11, which keeps no types "
     "of modules",
     Column::hidden},
    {"address", ColumnType::address, "struct net_device", Column::hidden},
};

constexpr ViewInfo kInfo{"interfaces", "network interfaces of all network namespaces", kColumns,
                         "by network namespace (the initial one first), then as they were made",
                         "netns ifindex"};

// Source: include/uapi/linux/if.h, include/linux/netdevice.h (netdev_state_t), 5.10 to 7.3.
constexpr std::uint32_t kPromisc = 0x100, kAllmulti = 0x200, kRunning = 0x40;
constexpr std::uint32_t kLowerUp = 0x10000, kDormant = 0x20000;
constexpr unsigned kStateStart = 0, kStateNoCarrier = 2, kStateDormant = 4;
constexpr std::uint32_t kOperUnknown = 0, kOperDown = 2, kOperUp = 6;
constexpr std::size_t kMaxAddresses = 1 << 16;
constexpr std::size_t kMaxHardwareAddress = 32;  ///< MAX_ADDR_LEN

struct Fields {
  Field<std::int32_t> index;
  Field<std::string> name;
  Field<std::uint16_t> type, own_flags;
  Field<std::uint32_t> flags, promiscuity, mtu, operstate;
  Field<std::uint64_t> state;
  Field<Gva> hardware_address;
  OptionalField<Gva> net;
  Field<std::uint8_t> hardware_address_size;
  OptionalField<Gva> ipv4, ipv6, link_operations;
  OptionalField<std::string> kind;
  Span span;

  OptionalField<Gva> first_address;
  OptionalField<Gva> next_address;
  OptionalField<std::uint32_t> local, peer;
  OptionalField<std::uint8_t> prefix;
  Embedded addresses6, address6_link, address6, peer6;
  OptionalField<std::uint32_t> prefix6;
  bool has_ipv6 = false;

  Embedded upper, lower, neighbour_link;
  OptionalField<Gva> neighbour;
  OptionalField<bool> neighbour_is_master;
  bool has_neighbours = false;

  static Outcome<Fields> from(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    bind(f.index, "net_device.ifindex");
    bind(f.name, "net_device.name");
    bind(f.type, "net_device.type");
    bind(f.flags, "net_device.flags");
    bind(f.own_flags, "net_device.gflags");
    bind(f.promiscuity, "net_device.promiscuity");
    bind(f.mtu, "net_device.mtu");
    bind(f.operstate, "net_device.operstate");
    bind(f.state, "net_device.state");
    bind(f.hardware_address, "net_device.dev_addr");
    bind(f.hardware_address_size, "net_device.addr_len");
    bind(f.net, "net_device.nd_net.net");
    bind(f.ipv4, "net_device.ip_ptr");
    bind(f.ipv6, "net_device.ip6_ptr");
    bind(f.link_operations, "net_device.rtnl_link_ops");
    bind(f.kind, "rtnl_link_ops.kind");
    bind(f.first_address, "in_device.ifa_list");
    bind(f.next_address, "in_ifaddr.ifa_next");
    bind(f.local, "in_ifaddr.ifa_local");
    bind(f.peer, "in_ifaddr.ifa_address");
    bind(f.prefix, "in_ifaddr.ifa_prefixlen");
    bind(f.prefix6, "inet6_ifaddr.prefix_len");
    bind(f.neighbour, "netdev_adjacent.dev");
    bind(f.neighbour_is_master, "netdev_adjacent.master");
    if (auto done = bind.done(); !done) return std::unexpected(std::move(done.error()));
    f.span = Span::covering(f.index, f.name, f.type, f.flags, f.own_flags, f.promiscuity, f.mtu,
                            f.operstate, f.state, f.hardware_address, f.hardware_address_size,
                            f.net, f.ipv4, f.ipv6, f.link_operations);
    FieldBinder six(types);
    six(f.addresses6, "inet6_dev.addr_list");
    six(f.address6_link, "inet6_ifaddr.if_list");
    six(f.address6, "inet6_ifaddr.addr");
    six(f.peer6, "inet6_ifaddr.peer_addr");
    f.has_ipv6 = six.done().has_value();
    FieldBinder neighbours(types);
    neighbours(f.upper, "net_device.adj_list.upper");
    neighbours(f.lower, "net_device.adj_list.lower");
    neighbours(f.neighbour_link, "netdev_adjacent.list");
    f.has_neighbours = neighbours.done().has_value();
    return f;
  }
};

template <class T>
std::optional<T> value(const Result<std::optional<T>>& read) {
  return read ? *read : std::nullopt;
}

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, net::NetNamespaces namespaces, const Fields& fields,
         Outcome<net::DeviceCounters> counters)
      : memory_(kernel.memory()),
        namespaces_(std::move(namespaces)),
        fields_(fields),
        counters_(std::move(counters)) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    std::vector<net::NetNamespace> list;
    const auto walked = namespaces_.list(list);
    note(walked, "network namespaces", tally);
    if (walked.broken && list.empty()) {
      return std::unexpected(
          Problem{walked.broken->code,
                  "the list of network namespaces cannot be read: " + describe(*walked.broken)});
    }
    bool more = true;
    for (const auto& net : list) {
      if (!more) break;
      const auto devices = namespaces_.devices(net.address, [&](Gva device) {
        more = read_device(net, device, rows, tally);
        return more;
      });
      note(devices, fmt::format("interfaces of namespace {}", net.inode), tally);
    }
    if (counters_) {
      tally.warnings.insert(tally.warnings.end(), counters_->missing().begin(),
                            counters_->missing().end());
    }
    return tally;
  }

  std::vector<MissingColumns> missing_columns() const override {
    std::vector<MissingColumns> missing;
    if (!counters_)
      missing.push_back(
          {{"rx_bytes", "rx_packets", "tx_bytes", "tx_packets"}, counters_.error().message});
    if (!fields_.has_ipv6)
      missing.push_back({{"addresses"}, "inet6_ifaddr is not in this kernel: IPv4 alone"});
    if (!fields_.has_neighbours)
      missing.push_back({{"master", "lower"}, "net_device.adj_list is not in this kernel"});
    return missing;
  }

 private:
  static void note(const Walked& walked, const std::string& what, Tally& tally) {
    tally.truncated |= walked.truncated;
    if (walked.broken) tally.warnings.push_back(what + " end early: " + describe(*walked.broken));
  }

  bool read_device(const net::NetNamespace& net, Gva device, RowSink& rows, Tally& tally) {
    constexpr unsigned kTries = 3;
    Snapshot copy(fields_.span);
    for (unsigned attempt = 1;; ++attempt) {
      auto filled = fill(net, device, copy, rows);
      if (filled) return rows.end();
      if (attempt == kTries) {
        ++tally.dropped;
        tally.warnings.push_back(fmt::format("the interface at {:#x} of namespace {}: {}",
                                             device.value, net.inode, describe(filled.error())));
        return true;
      }
      ++tally.retries;
    }
  }

  Result<void> fill(const net::NetNamespace& net, Gva device, Snapshot& copy, RowSink& rows) {
    TRY(copy.load(memory_, device));
    // Without CONFIG_NET_NS there is one namespace, and no member.
    if (const auto owner = TRY(fields_.net.read(copy)); owner && *owner != net.address)
      return fail(Errc::torn, device.value, "net_device.nd_net");
    const auto flags = TRY(fields_.flags.read(copy));
    const auto state = TRY(fields_.state.read(copy));
    const bool running = (state >> kStateStart & 1) != 0;
    const auto operstate = TRY(fields_.operstate.read(copy));
    rows.begin();
    rows.set(kNetns, net.inode);
    rows.set(kIndex, std::int64_t{TRY(fields_.index.read(copy))});
    rows.set(kName, TRY(fields_.name.read(copy)));
    rows.set(kType, net::hardware_type_name(TRY(fields_.type.read(copy))));
    rows.set(kFlags, net::interface_flag_names(
                         shown_flags(flags, TRY(fields_.own_flags.read(copy)), state, operstate)));
    rows.set(kPromiscuous, (flags & kPromisc) != 0);
    rows.set(kPromiscuity, std::int64_t{TRY(fields_.promiscuity.read(copy))});
    rows.set(kMtu, std::int64_t{TRY(fields_.mtu.read(copy))});
    rows.set(kOperstate, net::operstate_name(running ? operstate : kOperDown));
    rows.set(kAddress, device.value);
    const auto size =
        std::min<std::size_t>(TRY(fields_.hardware_address_size.read(copy)), kMaxHardwareAddress);
    std::array<std::uint8_t, kMaxHardwareAddress> mac{};
    const auto bytes = std::span(mac).first(size);
    if (size > 0 &&
        memory_.read(TRY(fields_.hardware_address.read(copy)), std::as_writable_bytes(bytes))) {
      rows.set(kMac, net::hardware_address_text(bytes));
    }
    if (rows.wants(kAddresses)) {
      if (auto addresses = addresses_of(copy)) {
        rows.set(kAddresses, *std::move(addresses));
      } else {
        rows.doubt("its addresses cannot be read");
      }
    }
    if (const auto operations = value(fields_.link_operations.read(copy));
        operations && *operations) {
      if (const auto kind = value(fields_.kind.find(memory_, *operations))) rows.set(kKind, *kind);
    }
    if (rows.wants_any(kMaster, kLower) && !fill_neighbours(device, rows)) {
      rows.doubt("its neighbours cannot be read");
    }
    if (rows.wants_any(kLink, kRxBytes, kRxPackets, kTxBytes, kTxPackets, kCounters) && counters_) {
      fill_counters(TRY(counters_->read(device)), rows);
    }
    return {};
  }

  /// Source: dev_get_flags() in net/core/dev.c.
  static std::uint32_t shown_flags(std::uint32_t flags, std::uint32_t own, std::uint64_t state,
                                   std::uint32_t operstate) {
    std::uint32_t shown = (flags & ~(kPromisc | kAllmulti | kRunning | kLowerUp | kDormant)) |
                          (own & (kPromisc | kAllmulti));
    if ((state >> kStateStart & 1) == 0) return shown;
    if (operstate == kOperUp || operstate == kOperUnknown) shown |= kRunning;
    if ((state >> kStateNoCarrier & 1) == 0) shown |= kLowerUp;
    if ((state >> kStateDormant & 1) != 0) shown |= kDormant;
    return shown;
  }

  Result<std::vector<std::string>> addresses_of(const Snapshot& copy) const {
    std::vector<std::string> texts;
    TRY(add_ipv4(copy, texts));
    TRY(add_ipv6(copy, texts));
    return texts;
  }

  Result<void> add_ipv4(const Snapshot& copy, std::vector<std::string>& texts) const {
    const auto in = TRY(fields_.ipv4.read(copy));
    if (!in || !*in || !fields_.next_address.exists() || !fields_.first_address.exists()) return {};
    const auto first = TRY(fields_.first_address.field().read(memory_, *in));
    const auto next = fields_.next_address.field().offset().value_or(0);
    Result<void> read;
    const auto walked = walk_chain(memory_, first, next, kMaxAddresses, [&](Gva address) {
      read = add_one_ipv4(address, texts);
      return read.has_value();
    });
    if (walked.broken) return std::unexpected(*walked.broken);
    return read;
  }

  Result<void> add_one_ipv4(Gva address, std::vector<std::string>& texts) const {
    const auto local = TRY(fields_.local.read(memory_, address));
    const auto peer = TRY(fields_.peer.read(memory_, address));
    const auto prefix = TRY(fields_.prefix.read(memory_, address));
    if (!local || !peer || !prefix) return {};  // not in this kernel
    std::string text = net::ipv4_text(*local);
    if (*peer != *local) text += " peer " + net::ipv4_text(*peer);
    texts.push_back(fmt::format("{}/{}", text, *prefix));
    return {};
  }

  Result<void> add_ipv6(const Snapshot& copy, std::vector<std::string>& texts) const {
    const auto in = TRY(fields_.ipv6.read(copy));
    if (!in || !*in || !fields_.has_ipv6) return {};
    Result<void> read;
    const auto walked =
        walk_list(memory_, fields_.addresses6.in(*in), kMaxAddresses, [&](Gva node) {
          read = add_one_ipv6(fields_.address6_link.owner(node), texts);
          return read.has_value();
        });
    if (walked.broken) return std::unexpected(*walked.broken);
    return read;
  }

  Result<void> add_one_ipv6(Gva address, std::vector<std::string>& texts) const {
    using Bytes16 = std::array<std::uint8_t, 16>;
    const auto own = TRY(memory_.load<Bytes16>(fields_.address6.in(address)));
    const auto peer = TRY(memory_.load<Bytes16>(fields_.peer6.in(address)));
    const auto prefix = TRY(fields_.prefix6.read(memory_, address));
    if (!prefix) return {};
    std::string text = net::ipv6_text(own);
    if (peer != Bytes16{}) text += " peer " + net::ipv6_text(peer);
    texts.push_back(fmt::format("{}/{}", text, *prefix));
    return {};
  }

  /// @returns false  one could not be read: what was read is not shown
  [[nodiscard]] bool fill_neighbours(Gva device, RowSink& rows) const {
    if (!fields_.has_neighbours) return true;
    const auto name_of = [&](Gva adjacent) -> Result<std::string> {
      const auto neighbour = TRY(fields_.neighbour.read(memory_, adjacent));
      if (!neighbour || !*neighbour)
        return fail(Errc::not_found, adjacent.value, "netdev_adjacent.dev");
      return fields_.name.read(memory_, *neighbour);
    };
    bool read = true;
    std::optional<std::string> master;
    const auto above = walk_list(memory_, fields_.upper.in(device), kMaxAddresses, [&](Gva node) {
      const Gva adjacent = fields_.neighbour_link.owner(node);
      const auto is_master = fields_.neighbour_is_master.read(memory_, adjacent);
      read = read && is_master.has_value();
      if (!is_master || !is_master->value_or(false)) return true;
      auto name = name_of(adjacent);
      read = read && name.has_value();
      if (name) master = *std::move(name);
      return false;
    });
    std::vector<std::string> below;
    const auto beneath = walk_list(memory_, fields_.lower.in(device), kMaxAddresses, [&](Gva node) {
      auto name = name_of(fields_.neighbour_link.owner(node));
      read = read && name.has_value();
      if (name) below.push_back(*std::move(name));
      return true;
    });
    if (!read || above.broken || beneath.broken) return false;
    if (master) rows.set(kMaster, *std::move(master));
    rows.set(kLower, std::move(below));
    return true;
  }

  static void fill_counters(const net::Counters& counters, RowSink& rows) {
    if (counters.link) rows.set(kLink, std::int64_t{*counters.link});
    rows.set(kCounters, counters.source);
    if (counters.source.starts_with("0x")) rows.doubt("who counts for it has no name");
    if (!counters.traffic) return;
    rows.set(kRxBytes, static_cast<std::int64_t>(counters.traffic->rx_bytes));
    rows.set(kRxPackets, static_cast<std::int64_t>(counters.traffic->rx_packets));
    rows.set(kTxBytes, static_cast<std::int64_t>(counters.traffic->tx_bytes));
    rows.set(kTxPackets, static_cast<std::int64_t>(counters.traffic->tx_packets));
  }

  const VirtualMemory& memory_;
  net::NetNamespaces namespaces_;
  Fields fields_;
  Outcome<net::DeviceCounters> counters_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto namespaces = TRY(net::NetNamespaces::open(kernel));
  const auto fields = TRY(Fields::from(kernel.types()));
  return std::make_unique<Reader>(kernel, std::move(namespaces), fields,
                                  net::DeviceCounters::open(kernel));
}

}  // namespace

const View interfaces_view(kInfo, open);

}  // namespace vitrine::linux
