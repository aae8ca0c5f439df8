// Where the kernel keeps its sockets: finds the struct sock of each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/net/net_namespaces.h"
#include "linux/view.h"
#include "linux/walk/rhashtable.h"

namespace vitrine::linux::net {

/// Which table a socket stands in, in the order in which they are listed.
enum class SocketTable : std::uint8_t {
  tcp_listening,
  tcp,
  udp,
  udplite,
  raw,
  icmp,
  unix_domain,
  packet,
  netlink,
};

struct FoundSocket {
  Gva sock;  ///< struct sock; of TCP also request_sock and inet_timewait_sock
  Gva net;   ///< struct net
  SocketTable table = SocketTable::tcp;
};

/// The tables of all protocols, bound to one kernel. A protocol whose module is not
/// loaded has no table and no sockets.
class SocketTables {
 public:
  /// Sockets of one table, in all namespaces together.
  static constexpr std::size_t kLimit = 1 << 20;

  /// @returns not_found  members of struct sock, without which nothing can be listed
  [[nodiscard]] static Outcome<SocketTables> open(const Kernel& kernel);

  /// Every socket once: by namespace in the order of `namespaces` (unlisted ones last),
  /// table, and then as the table has them. What could not be read is said in `tally`.
  [[nodiscard]] std::vector<FoundSocket> find(const std::vector<NetNamespace>& namespaces,
                                              Tally& tally) const;

  /// Still where it was found? False for a socket that left its table since.
  [[nodiscard]] bool still_hashed(const FoundSocket& found) const;

  /// Tables that cannot be read, though the kernel has them: a sentence each.
  [[nodiscard]] const std::vector<std::string>& missing() const { return missing_; }

 private:
  /// A hash table whose buckets' address and number the kernel keeps in memory.
  struct Counted {
    Field<Gva> buckets;
    Field<std::uint32_t> mask;
    Embedded head;             ///< in a bucket
    std::uint64_t stride = 0;  ///< 0: this kernel's layout is not known
    bool nulls = false;
  };
  class Finder;

  void bind_tcp();
  void bind_udp();
  void bind_raw_and_icmp();
  void bind_unix();
  void bind_packet();
  void bind_netlink();
  bool bound(std::string_view protocol, const FieldBinder& bind);

  const Kernel* kernel_ = nullptr;
  std::vector<std::string> missing_;

  Embedded node_;           ///< sock.__sk_common.skc_node
  OptionalField<Gva> net_;  // without CONFIG_NET_NS there is one namespace, and no member
  std::optional<Gva> only_net_;

  Counted established_, listening_;
  Embedded listening_array_;  ///< up to 5.18
  std::optional<Gva> tcp_hashinfo_;
  OptionalField<Gva> net_hashinfo_;

  Counted udp_;
  std::optional<Gva> udp_table_, udplite_table_;
  OptionalField<Gva> net_udp_table_;

  std::vector<Gva> raw_tables_;
  Embedded raw_heads_;
  bool raw_nulls_ = false;
  std::optional<Gva> ping_table_;
  Embedded ping_heads_;
  bool ping_nulls_ = false;

  std::optional<Gva> unix_table_;
  OptionalField<Gva> net_unix_buckets_;

  Embedded packet_list_;
  bool has_packet_ = false;

  std::optional<Gva> netlink_tables_;
  std::uint64_t netlink_stride_ = 0, netlink_hash_ = 0;
  RhashtableLayout netlink_layout_;
  Embedded netlink_node_;
};

}  // namespace vitrine::linux::net
