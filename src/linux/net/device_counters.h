// How much an interface has received and sent.
//
// Each driver counts where it likes and adds up in a function of its own. That
// function's name says which of the ways known here it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"

namespace vitrine::linux {
class Kernel;
}

namespace vitrine::linux::net {

struct Traffic {
  std::uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0;
};

struct Counters {
  /// Nothing where this driver's way is not known, or its types are not in the guest.
  std::optional<Traffic> traffic;
  /// "device", "lstats", "tstats", "dstats", "vlan", "bridge", "veth", "virtio_net": where they
  /// were read; else the name of the driver's function.
  std::string source;
  /// The interface at the other end of a veth pair, below a VLAN or under a tunnel: IFLA_LINK.
  std::optional<std::int32_t> link;
};

/// Threads: one at a time.
class DeviceCounters {
 public:
  /// @returns not_found  a member that every kernel has
  [[nodiscard]] static Outcome<DeviceCounters> open(const Kernel& kernel);

  /// Errors as VirtualMemory::read.
  [[nodiscard]] Result<Counters> read(Gva device);

  /// What cannot be told though the guest has such devices: a sentence each.
  [[nodiscard]] const std::vector<std::string>& missing() const { return missing_; }

 private:
  /// A structure with counters, of which there may be one for each CPU.
  struct Layout {
    Field<std::uint64_t> rx_packets, rx_bytes, tx_packets, tx_bytes;
    bool bound = false;
  };
  void bind_drivers();
  void bind_veth(const TypeCatalogue& types);
  void bind_virtio(const TypeCatalogue& types);
  Result<void> add(const Layout& layout, Gva at, Traffic& sum) const;
  Result<void> add_each_cpu(const Layout& layout, Gva variable, Traffic& sum) const;
  Result<void> add_queues(const Layout& layout, Gva first, std::uint64_t stride,
                          std::uint64_t count, Traffic& sum) const;
  Result<Traffic> of_device(Gva device) const;
  Result<Traffic> of_lstats(Gva device) const;
  Result<void> read_veth(Gva device, Counters& counters);
  Result<void> read_virtio(Gva device, Counters& counters);
  /// Of a tunnel over IPv4 or IPv6. 0: any.
  [[nodiscard]] Result<std::optional<std::int32_t>> tunnel_link(Gva device, Gva operations) const;
  Result<void> read_vlan(Gva device, Counters& counters) const;
  [[nodiscard]] bool uses_tstats(Gva device) const;
  [[nodiscard]] Gva private_of(Gva device) const { return device + private_offset_; }
  /// The function's name, of the kernel or of a module.
  [[nodiscard]] std::string name_of(Gva function) const;

  const Kernel* kernel_ = nullptr;
  std::vector<std::string> missing_;
  bool drivers_bound_ = false;
  std::uint64_t private_offset_ = 0;

  Field<Gva> operations_, get_stats64_, get_stats_;
  OptionalField<Gva> get_link_;
  OptionalField<std::int32_t> tunnel_link_, tunnel6_link_;
  Field<Gva> per_cpu_;
  OptionalField<std::uint8_t> per_cpu_kind_;
  Field<std::int32_t> index_;
  Field<std::uint32_t> rx_queues_;
  Embedded own_;
  Layout device_, lstats_, tstats_, dstats_;
  OptionalField<Gva> vlan_stats_, vlan_below_;
  Layout vlan_;
  OptionalField<Gva> bridge_stats_;

  OptionalField<Gva> veth_peer_, veth_queues_;
  Layout veth_queue_;
  std::uint64_t veth_stride_ = 0;
  OptionalField<Gva> virtio_receive_, virtio_send_;
  OptionalField<std::uint16_t> virtio_queues_;
  Layout virtio_receive_queue_, virtio_send_queue_;
  std::uint64_t virtio_receive_stride_ = 0, virtio_send_stride_ = 0;
};

}  // namespace vitrine::linux::net
