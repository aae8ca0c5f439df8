#include "linux/net/device_counters.h"

#include <fmt/core.h>

#include <algorithm>

#include "linux/kernel.h"
#include "linux/modules.h"
#include "linux/symbols.h"

namespace vitrine::linux::net {
namespace {

// Source: enum netdev_stat_type in include/linux/netdevice.h, since 6.7.
constexpr std::uint8_t kKindTstats = 2, kKindDstats = 3;
// Source: NETDEV_ALIGN in include/linux/netdevice.h.
constexpr std::uint64_t kPrivateAlignment = 32;
constexpr std::uint64_t kMaxQueues =
    4096;  ///< VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX is 32768; CPUs bound it

}  // namespace

Outcome<DeviceCounters> DeviceCounters::open(const Kernel& kernel) {
  DeviceCounters c;
  c.kernel_ = &kernel;
  const auto& types = kernel.types();
  FieldBinder bind(types);
  bind(c.operations_, "net_device.netdev_ops");
  bind(c.get_stats64_, "net_device_ops.ndo_get_stats64");
  bind(c.get_stats_, "net_device_ops.ndo_get_stats");
  bind(c.get_link_, "net_device_ops.ndo_get_iflink");
  bind(c.tunnel_link_, "ip_tunnel.parms.link");
  bind(c.tunnel6_link_, "ip6_tnl.parms.link");
  bind(c.per_cpu_, "net_device.tstats");  // lstats and dstats share its place
  bind(c.per_cpu_kind_, "net_device.pcpu_stat_type");
  bind(c.index_, "net_device.ifindex");
  bind(c.rx_queues_, "net_device.real_num_rx_queues");
  bind(c.own_, "net_device.stats");
  bind(c.vlan_stats_, "vlan_dev_priv.vlan_pcpu_stats");
  bind(c.vlan_below_, "vlan_dev_priv.real_dev");
  bind(c.bridge_stats_, "net_bridge.stats");  // up to 5.10
  if (auto done = bind.done(); !done) return std::unexpected(std::move(done.error()));

  const auto size = types.size_of("net_device");
  const auto priv = Embedded::from(types, "net_device.priv");
  c.private_offset_ = priv ? *priv->offset()
                           : (size.value_or(0) + kPrivateAlignment - 1) & ~(kPrivateAlignment - 1);

  // Plain numbers in older kernels; u64_stats_t, which is a local64_t, in newer ones.
  const auto layout = [&](const char* type, Layout& to, auto rx_packets, auto rx_bytes,
                          auto tx_packets, auto tx_bytes) {
    if (!types.find(type)) return;  // a look for the nearest name would cost milliseconds
    FieldBinder all(types);
    all(to.rx_packets, rx_packets);
    all(to.rx_bytes, rx_bytes);
    all(to.tx_packets, tx_packets);
    all(to.tx_bytes, tx_bytes);
    to.bound = all.done().has_value();
  };
  using Names = std::initializer_list<PathName>;
  layout("net_device_stats", c.device_, Names{"net_device_stats.rx_packets"},
         Names{"net_device_stats.rx_bytes"}, Names{"net_device_stats.tx_packets"},
         Names{"net_device_stats.tx_bytes"});
  layout("pcpu_sw_netstats", c.tstats_,
         Names{"pcpu_sw_netstats.rx_packets.v.a.a.counter", "pcpu_sw_netstats.rx_packets"},
         Names{"pcpu_sw_netstats.rx_bytes.v.a.a.counter", "pcpu_sw_netstats.rx_bytes"},
         Names{"pcpu_sw_netstats.tx_packets.v.a.a.counter", "pcpu_sw_netstats.tx_packets"},
         Names{"pcpu_sw_netstats.tx_bytes.v.a.a.counter", "pcpu_sw_netstats.tx_bytes"});
  layout("pcpu_dstats", c.dstats_,
         Names{"pcpu_dstats.rx_packets.v.a.a.counter", "pcpu_dstats.rx_packets"},
         Names{"pcpu_dstats.rx_bytes.v.a.a.counter", "pcpu_dstats.rx_bytes"},
         Names{"pcpu_dstats.tx_packets.v.a.a.counter", "pcpu_dstats.tx_packets"},
         Names{"pcpu_dstats.tx_bytes.v.a.a.counter", "pcpu_dstats.tx_bytes"});
  layout("vlan_pcpu_stats", c.vlan_,
         Names{"vlan_pcpu_stats.rx_packets.v.a.a.counter", "vlan_pcpu_stats.rx_packets"},
         Names{"vlan_pcpu_stats.rx_bytes.v.a.a.counter", "vlan_pcpu_stats.rx_bytes"},
         Names{"vlan_pcpu_stats.tx_packets.v.a.a.counter", "vlan_pcpu_stats.tx_packets"},
         Names{"vlan_pcpu_stats.tx_bytes.v.a.a.counter", "vlan_pcpu_stats.tx_bytes"});
  // One pair of counters, of what was sent.
  const Names packets{"pcpu_lstats.packets.v.a.a.counter", "pcpu_lstats.packets"};
  const Names bytes{"pcpu_lstats.bytes.v.a.a.counter", "pcpu_lstats.bytes"};
  FieldBinder lstats(types);
  lstats(c.lstats_.tx_packets, packets);
  lstats(c.lstats_.tx_bytes, bytes);
  c.lstats_.bound = lstats.done().has_value();
  return c;
}

/// The drivers that count in structures of their own are modules, whose types are read
/// when the first such device is met.
void DeviceCounters::bind_drivers() {
  if (drivers_bound_) return;
  drivers_bound_ = true;
  auto types = kernel_->types();
  if (const auto modules = read_module_btf(*kernel_)) {
    for (const auto& module : modules->modules) {
      if (module.module != "veth" && module.module != "virtio_net") continue;
      if (types.has_module(module.module)) continue;
      if (auto added = types.add_module(module.module, module.blob); !added) {
        missing_.push_back(
            fmt::format("traffic of {}: its types: {}", module.module, describe(added.error())));
      }
    }
  }
  if (types.find("veth_rq")) bind_veth(types);
  if (types.find("virtnet_info")) bind_virtio(types);
}

void DeviceCounters::bind_veth(const TypeCatalogue& types) {
  FieldBinder veth(types);
  veth(veth_peer_, "veth_priv.peer");
  veth(veth_queues_, "veth_priv.rq");
  veth(veth_queue_.rx_packets, "veth_rq.stats.vs.xdp_packets");
  veth(veth_queue_.rx_bytes, "veth_rq.stats.vs.xdp_bytes");
  veth_queue_.bound = veth.done().has_value() && veth_peer_.exists() && veth_queues_.exists();
  veth_stride_ = types.size_of("veth_rq").value_or(0);
}

void DeviceCounters::bind_virtio(const TypeCatalogue& types) {
  FieldBinder virtio(types);
  virtio(virtio_receive_, "virtnet_info.rq");
  virtio(virtio_send_, "virtnet_info.sq");
  virtio(virtio_queues_, "virtnet_info.max_queue_pairs");
  using Names = std::initializer_list<PathName>;
  const auto one = [&](Field<std::uint64_t>& field, Names names) { virtio(field, names); };
  one(virtio_receive_queue_.rx_packets,
      {"receive_queue.stats.packets.v.a.a.counter", "receive_queue.stats.packets"});
  one(virtio_receive_queue_.rx_bytes,
      {"receive_queue.stats.bytes.v.a.a.counter", "receive_queue.stats.bytes"});
  one(virtio_send_queue_.tx_packets,
      {"send_queue.stats.packets.v.a.a.counter", "send_queue.stats.packets"});
  one(virtio_send_queue_.tx_bytes,
      {"send_queue.stats.bytes.v.a.a.counter", "send_queue.stats.bytes"});
  virtio_receive_stride_ = types.size_of("receive_queue").value_or(0);
  virtio_send_stride_ = types.size_of("send_queue").value_or(0);
  virtio_receive_queue_.bound = virtio_send_queue_.bound = virtio.done().has_value();
}

std::string DeviceCounters::name_of(Gva function) const {
  if (!function) return {};
  for (const auto* table : {&kernel_->symbols(), &kernel_->module_symbols()}) {
    const auto symbol = table->nearest(function, 16);
    if (symbol && symbol->address == function) return std::string(symbol->name);
  }
  return fmt::format("{:#x}", function.value);
}

/// Source: dev_get_stats() in net/core/dev.c, 5.10 to 7.3.
Result<Counters> DeviceCounters::read(Gva device) {
  const auto& memory = kernel_->memory();
  Counters counters;
  const Gva operations = TRY(operations_.read(memory, device));
  const Gva get_stats64 = operations ? TRY(get_stats64_.read(memory, operations)) : Gva{};
  const Gva get_stats = operations ? TRY(get_stats_.read(memory, operations)) : Gva{};
  counters.source = name_of(get_stats64 ? get_stats64 : get_stats);
  if (operations) counters.link = TRY(tunnel_link(device, operations));
  const Gva per_cpu = TRY(per_cpu_.read(memory, device));
  const auto kind = TRY(per_cpu_kind_.read(memory, device)).value_or(0);
  const auto each_cpu = [&](const Layout& layout, Gva variable,
                            std::string source) -> Result<void> {
    if (!layout.bound || !variable) return {};
    Traffic sum = TRY(of_device(device));
    if (auto added = add_each_cpu(layout, variable, sum); !added) return added;
    counters.traffic = sum;
    counters.source = std::move(source);
    return {};
  };

  Result<void> done;
  if (counters.source == "dev_get_tstats64" || (counters.source.empty() && kind == kKindTstats)) {
    done = each_cpu(tstats_, per_cpu, "tstats");
  } else if (counters.source == "dev_get_dstats64" ||
             (counters.source.empty() && kind == kKindDstats)) {
    done = each_cpu(dstats_, per_cpu, "dstats");
  } else if (counters.source.empty()) {
    counters.traffic = TRY(of_device(device));
    counters.source = "device";
  } else if (counters.source == "loopback_get_stats64" && lstats_.bound) {
    auto sum = TRY(of_lstats(device));
    counters.traffic = Traffic{sum.tx_packets, sum.tx_bytes, sum.tx_packets, sum.tx_bytes};
    counters.source = "lstats";
  } else if (counters.source == "dummy_get_stats64" && lstats_.bound) {
    counters.traffic = TRY(of_lstats(device));
    counters.source = "lstats";
  } else if (counters.source == "br_get_stats64" && bridge_stats_.exists()) {
    const auto stats = TRY(bridge_stats_.read(memory, private_of(device)));
    done = each_cpu(tstats_, stats.value_or(Gva{}), "bridge");
  } else if (counters.source == "vlan_dev_get_stats64") {
    done = read_vlan(device, counters);
  } else if (counters.source == "veth_get_stats64") {
    done = read_veth(device, counters);
  } else if (counters.source == "virtnet_stats") {
    done = read_virtio(device, counters);
  }
  if (!done) return std::unexpected(done.error());
  return counters;
}

/// Source: ip_tunnel_get_iflink() in net/ipv4/ip_tunnel.c, ip6_tnl_get_iflink() in
/// net/ipv6/ip6_tunnel.c, 5.10 to 7.3.
Result<std::optional<std::int32_t>> DeviceCounters::tunnel_link(Gva device, Gva operations) const {
  const auto& memory = kernel_->memory();
  const auto function = TRY(get_link_.read(memory, operations));
  if (!function || !*function) return std::optional<std::int32_t>();
  const auto name = name_of(*function);
  if (name == "ip_tunnel_get_iflink") return tunnel_link_.read(memory, private_of(device));
  if (name == "ip6_tnl_get_iflink") return tunnel6_link_.read(memory, private_of(device));
  return std::optional<std::int32_t>();
}

Result<void> DeviceCounters::add(const Layout& layout, Gva at, Traffic& sum) const {
  const auto& memory = kernel_->memory();
  if (layout.rx_packets.bound()) sum.rx_packets += TRY(layout.rx_packets.read(memory, at));
  if (layout.rx_bytes.bound()) sum.rx_bytes += TRY(layout.rx_bytes.read(memory, at));
  if (layout.tx_packets.bound()) sum.tx_packets += TRY(layout.tx_packets.read(memory, at));
  if (layout.tx_bytes.bound()) sum.tx_bytes += TRY(layout.tx_bytes.read(memory, at));
  return {};
}

Result<void> DeviceCounters::add_each_cpu(const Layout& layout, Gva variable, Traffic& sum) const {
  for (unsigned cpu = 0; cpu < kernel_->cpu_count(); ++cpu) {
    const Gva at = TRY(kernel_->per_cpu(variable, cpu));
    if (auto added = add(layout, at, sum); !added) return added;
  }
  return {};
}

Result<void> DeviceCounters::add_queues(const Layout& layout, Gva first, std::uint64_t stride,
                                        std::uint64_t count, Traffic& sum) const {
  for (std::uint64_t i = 0; i < std::min(count, kMaxQueues); ++i) {
    if (auto added = add(layout, first + i * stride, sum); !added) return added;
  }
  return {};
}

Result<Traffic> DeviceCounters::of_device(Gva device) const {
  Traffic sum;
  if (auto added = add(device_, own_.in(device), sum); !added)
    return std::unexpected(added.error());
  return sum;
}

Result<Traffic> DeviceCounters::of_lstats(Gva device) const {
  Traffic sum;
  const Gva variable = TRY(per_cpu_.read(kernel_->memory(), device));
  if (!variable) return sum;
  const auto& layout = uses_tstats(device) ? tstats_ : lstats_;
  if (auto added = add_each_cpu(layout, variable, sum); !added)
    return std::unexpected(added.error());
  return sum;
}

bool DeviceCounters::uses_tstats(Gva device) const {
  const auto kind = per_cpu_kind_.read(kernel_->memory(), device);
  return kind && *kind && **kind == kKindTstats;
}

Result<void> DeviceCounters::read_vlan(Gva device, Counters& counters) const {
  const auto& memory = kernel_->memory();
  const auto below = TRY(vlan_below_.read(memory, private_of(device)));
  if (below && *below) counters.link = TRY(index_.read(memory, *below));
  const auto stats = TRY(vlan_stats_.read(memory, private_of(device)));
  if (!vlan_.bound || !stats || !*stats) return {};
  Traffic sum;
  if (auto added = add_each_cpu(vlan_, *stats, sum); !added) return added;
  counters.traffic = sum;
  counters.source = "vlan";
  return {};
}

/// What one end of the pair sends the other receives; packets for an XDP program, and those
/// merged by GRO, are counted by the receiving end's queues.
/// Source: veth_get_stats64() in drivers/net/veth.c, 5.11 to 7.3; in lstats up to 6.6.
Result<void> DeviceCounters::read_veth(Gva device, Counters& counters) {
  bind_drivers();
  const auto& memory = kernel_->memory();
  if (!veth_queue_.bound || veth_stride_ == 0) return {};
  const auto queues_of = [&](Gva end, Traffic& sum) -> Result<void> {
    const auto queues = TRY(veth_queues_.read(memory, private_of(end)));
    if (!queues || !*queues) return {};
    const auto count = TRY(rx_queues_.read(memory, end));
    return add_queues(veth_queue_, *queues, veth_stride_, count, sum);
  };
  Traffic sum = TRY(of_lstats(device));
  if (auto added = queues_of(device, sum); !added) return added;
  const auto peer = TRY(veth_peer_.read(memory, private_of(device)));
  if (peer && *peer) {
    counters.link = TRY(index_.read(memory, *peer));
    const Traffic other = TRY(of_lstats(*peer));
    sum.rx_packets += other.tx_packets;
    sum.rx_bytes += other.tx_bytes;
    Traffic taken;
    if (auto added = queues_of(*peer, taken); !added) return added;
    sum.tx_packets += taken.rx_packets;
    sum.tx_bytes += taken.rx_bytes;
  }
  counters.traffic = sum;
  counters.source = "veth";
  return {};
}

/// Source: virtnet_stats() in drivers/net/virtio_net.c, 5.11 to 7.3.
Result<void> DeviceCounters::read_virtio(Gva device, Counters& counters) {
  bind_drivers();
  const auto& memory = kernel_->memory();
  const Gva info = private_of(device);
  const auto receive = TRY(virtio_receive_.read(memory, info));
  const auto send = TRY(virtio_send_.read(memory, info));
  const auto count = TRY(virtio_queues_.read(memory, info));
  if (!virtio_send_queue_.bound || !receive || !*receive || !send || !*send || !count) return {};
  Traffic sum;
  if (auto a = add_queues(virtio_receive_queue_, *receive, virtio_receive_stride_, *count, sum);
      !a) {
    return a;
  }
  if (auto a = add_queues(virtio_send_queue_, *send, virtio_send_stride_, *count, sum); !a)
    return a;
  counters.traffic = sum;
  counters.source = "virtio_net";
  return {};
}

}  // namespace vitrine::linux::net
