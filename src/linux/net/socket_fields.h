// What one socket says of itself.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/net/socket_tables.h"

namespace vitrine::linux::net {

/// One socket, read. What it has not, or what could not be read, is nothing.
struct SocketFacts {
  std::uint16_t family = 0;
  std::uint8_t state = 0;  ///< of a TIME_WAIT socket: its substate, as /proc/net/tcp prints it
  std::optional<std::uint16_t> type;
  std::optional<std::uint16_t> protocol;  ///< IP, Ethernet or netlink protocol number
  std::int32_t bound_device = 0;          ///< an interface's index; 0: any
  std::string local_address, remote_address;
  std::optional<std::uint16_t> local_port, remote_port;
  std::optional<std::int64_t> rx_queue, tx_queue, drops;
  std::optional<std::int64_t> backlog;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint64_t> inode;  ///< 0: no descriptor and no program knows it
  // unix
  std::optional<std::string> path;
  Gva peer;  ///< struct sock
  std::optional<std::uint64_t> peer_inode;
  // packet
  std::optional<bool> running;
  // netlink
  std::optional<std::uint32_t> port_id;
  std::optional<std::uint64_t> groups;
};

/// Reads sockets of one kernel. Threads: one at a time.
class SocketFields {
 public:
  /// @returns not_found  the members that every socket needs; those of one protocol alone
  ///   are said by missing()
  [[nodiscard]] static Outcome<SocketFields> open(const Kernel& kernel);

  /// @returns torn  this is not (or no more) a socket of that table
  /// Other errors as VirtualMemory::read.
  [[nodiscard]] Result<SocketFacts> read(const FoundSocket& found);

  [[nodiscard]] const std::vector<std::string>& missing() const { return missing_; }

 private:
  void bind_protocols();
  Result<void> read_common(SocketFacts& facts);
  Result<void> read_request(Gva sock, SocketFacts& facts);
  Result<void> read_timewait(Gva sock, SocketFacts& facts);
  Result<void> read_full(const FoundSocket& found, SocketFacts& facts);
  void read_tcp(Gva sock, SocketFacts& facts) const;
  void read_unix(Gva sock, SocketFacts& facts) const;
  void read_packet(Gva sock, SocketFacts& facts) const;
  void read_netlink(Gva sock, SocketFacts& facts) const;
  [[nodiscard]] Result<std::uint64_t> inode_of(Gva sock) const;
  [[nodiscard]] std::optional<std::int64_t> drops_of(Gva sock) const;

  const Kernel* kernel_ = nullptr;
  std::vector<std::string> missing_;

  // struct sock_common, which request_sock and inet_timewait_sock start with too
  Field<std::uint16_t> family_, port_, remote_port_;
  Field<std::uint8_t> state_;
  Field<std::int32_t> device_;
  Field<std::uint32_t> address_, remote_address_;
  Embedded address6_, remote_address6_;
  Field<Gva> listener_;
  Snapshot common_{Span{}};

  // struct sock
  Field<std::uint16_t> type_, protocol_;
  Field<std::int32_t> rmem_, wmem_;
  Field<std::uint32_t> uid_, backlog_used_, backlog_most_;
  Field<Gva> socket_;
  OptionalField<std::uint64_t> own_inode_;
  Field<std::int32_t> drops_;
  OptionalField<Gva> drop_counters_;
  OptionalField<std::int32_t> drops0_, drops1_;
  Snapshot sock_{Span{}};

  Embedded allocated_;
  Field<std::uint64_t> inode_number_;

  OptionalField<std::uint8_t> substate_;
  OptionalField<std::uint32_t> received_, copied_, written_, acknowledged_;
  OptionalField<std::int32_t> forward_deficit_;
  OptionalField<Gva> unix_address_, unix_peer_;
  OptionalField<std::int32_t> unix_address_size_;
  std::uint64_t unix_name_ = 0;  ///< unix_address.name[0].sun_path; 0: not known
  OptionalField<std::uint32_t> receive_count_;
  OptionalField<std::uint16_t> packet_protocol_;
  OptionalField<std::int32_t> packet_device_;
  OptionalField<std::uint32_t> packet_running_;
  OptionalField<std::uint64_t> packet_flags_;
  std::optional<std::int64_t> packet_running_bit_;
  OptionalField<std::uint32_t> netlink_port_;
  OptionalField<Gva> netlink_groups_;
};

}  // namespace vitrine::linux::net
