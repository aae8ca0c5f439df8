#include "linux/net/socket_fields.h"

#include <algorithm>

#include "linux/kernel.h"
#include "linux/net/address.h"
#include "linux/net/names.h"

namespace vitrine::linux::net {
namespace {

constexpr std::uint64_t kFamilyBytes = 2;       // sockaddr_un.sun_family
constexpr std::uint64_t kMaxUnixAddress = 110;  // sizeof(struct sockaddr_un)

/// Does a table hold sockets of this family?
bool belongs(SocketTable table, std::uint16_t family) {
  switch (table) {
    case SocketTable::unix_domain:
      return family == kUnix;
    case SocketTable::packet:
      return family == kPacket;
    case SocketTable::netlink:
      return family == kNetlink;
    default:
      return family == kIpv4 || family == kIpv6;
  }
}

bool is_tcp(SocketTable table) {
  return table == SocketTable::tcp || table == SocketTable::tcp_listening;
}

}  // namespace

Outcome<SocketFields> SocketFields::open(const Kernel& kernel) {
  SocketFields f;
  f.kernel_ = &kernel;
  FieldBinder bind(kernel.types());
  bind(f.family_, "sock.__sk_common.skc_family");
  bind(f.state_, "sock.__sk_common.skc_state");
  bind(f.device_, "sock.__sk_common.skc_bound_dev_if");
  bind(f.port_, "sock.__sk_common.skc_num");
  bind(f.remote_port_, "sock.__sk_common.skc_dport");
  bind(f.address_, "sock.__sk_common.skc_rcv_saddr");
  bind(f.remote_address_, "sock.__sk_common.skc_daddr");
  bind(f.listener_, "sock.__sk_common.skc_listener");
  bind(f.type_, "sock.sk_type");
  bind(f.protocol_, "sock.sk_protocol");
  bind(f.rmem_, "sock.sk_backlog.rmem_alloc.counter");
  bind(f.wmem_, "sock.sk_wmem_alloc.refs.counter");
  bind(f.uid_, "sock.sk_uid.val");
  bind(f.backlog_used_, "sock.sk_ack_backlog");
  bind(f.backlog_most_, "sock.sk_max_ack_backlog");
  bind(f.socket_, "sock.sk_socket");
  bind(f.own_inode_, "sock.sk_ino");  // in newer kernels, which print it
  bind(f.drops_, "sock.sk_drops.counter");
  bind(f.drop_counters_, "sock.sk_drop_counters");
  if (kernel.types().find("numa_drop_counters")) {
    bind(f.drops0_, "numa_drop_counters.drops0.counter");
    bind(f.drops1_, "numa_drop_counters.drops1.counter");
  }
  bind(f.allocated_, "socket_alloc.socket");
  bind(f.inode_number_, "socket_alloc.vfs_inode.i_ino");
  if (auto done = bind.done(); !done) return std::unexpected(std::move(done.error()));

  Embedded common;
  bind(common, "sock.__sk_common");
  bind(f.address6_, "sock.__sk_common.skc_v6_rcv_saddr");  // absent without CONFIG_IPV6
  bind(f.remote_address6_, "sock.__sk_common.skc_v6_daddr");
  f.common_ = Snapshot(Span{static_cast<std::uint32_t>(common.offset().value_or(0)),
                            static_cast<std::uint32_t>(common.size())});
  f.sock_ = Snapshot(Span::covering(f.type_, f.protocol_, f.rmem_, f.wmem_, f.uid_, f.backlog_used_,
                                    f.backlog_most_, f.socket_, f.own_inode_));
  f.bind_protocols();
  return f;
}

void SocketFields::bind_protocols() {
  const auto& types = kernel_->types();
  FieldBinder bind(types);
  bind(substate_, "inet_timewait_sock.tw_substate");
  bind(received_, "tcp_sock.rcv_nxt");
  bind(copied_, "tcp_sock.copied_seq");
  bind(written_, "tcp_sock.write_seq");
  bind(acknowledged_, "tcp_sock.snd_una");
  bind(forward_deficit_, "udp_sock.forward_deficit");
  bind(receive_count_, "sock.sk_receive_queue.qlen");
  bind(unix_address_, "unix_sock.addr");
  bind(unix_peer_, "unix_sock.peer");
  bind(unix_address_size_, "unix_address.len");
  bind(packet_protocol_, "packet_sock.num");
  bind(packet_device_, "packet_sock.ifindex");
  bind(netlink_port_, "netlink_sock.portid");
  bind(netlink_groups_, "netlink_sock.groups");
  for (const auto& path : bind.absent())
    missing_.push_back("sockets: " + path + " is not in this kernel");
  if (auto done = bind.done(); !done) missing_.push_back("sockets: " + done.error().message);

  // A bit of `flags` since 6.4 and the stable kernels that took 74bc084327c6; a bit field or
  // an integer before.
  FieldBinder either(types);
  either(packet_running_, "packet_sock.running");
  either(packet_flags_, "packet_sock.flags");
  packet_running_bit_ = types.find_enumerator("PACKET_SOCK_RUNNING");
  if (const auto name = MemberPath::compile(types, "unix_address.name")) {
    unix_name_ = name->route().offset;
  }
}

Result<SocketFacts> SocketFields::read(const FoundSocket& found) {
  TRY(common_.load(kernel_->memory(), found.sock));
  SocketFacts facts;
  if (auto done = read_common(facts); !done) return std::unexpected(done.error());
  if (!belongs(found.table, facts.family))
    return fail(Errc::torn, found.sock.value, "sock_common.skc_family");
  const bool tcp = is_tcp(found.table);
  auto done = tcp && facts.state == kNewSynRecv ? read_request(found.sock, facts)
              : tcp && facts.state == kTimeWait ? read_timewait(found.sock, facts)
                                                : read_full(found, facts);
  if (!done) return std::unexpected(done.error());
  return facts;
}

Result<void> SocketFields::read_common(SocketFacts& facts) {
  facts.family = TRY(family_.read(common_));
  facts.state = TRY(state_.read(common_));
  facts.bound_device = TRY(device_.read(common_));
  if (facts.family != kIpv4 && facts.family != kIpv6) return {};
  facts.local_port = TRY(port_.read(common_));
  facts.remote_port = from_big_endian(TRY(remote_port_.read(common_)));
  if (facts.family == kIpv4) {
    facts.local_address = ipv4_text(TRY(address_.read(common_)));
    facts.remote_address = ipv4_text(TRY(remote_address_.read(common_)));
    return {};
  }
  const auto text = [&](const Embedded& field) -> std::string {
    std::array<std::uint8_t, 16> address{};
    const auto bytes =
        field.bound() ? common_.bytes(*field.offset(), address.size()) : std::nullopt;
    if (!bytes) return {};
    std::ranges::transform(*bytes, address.begin(),
                           [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    return ipv6_text(address);
  };
  facts.local_address = text(address6_);
  facts.remote_address = text(remote_address6_);
  return {};
}

/// A connection of which the first packet has come: its owner is the listener's.
Result<void> SocketFields::read_request(Gva sock, SocketFacts& facts) {
  facts.type = 1;
  facts.protocol = 6;
  facts.rx_queue = facts.tx_queue = 0;
  facts.inode = 0;
  const Gva listener = TRY(listener_.read(common_));
  if (listener) facts.uid = TRY(uid_.read(kernel_->memory(), listener));
  (void)sock;
  return {};
}

Result<void> SocketFields::read_timewait(Gva sock, SocketFacts& facts) {
  facts.type = 1;
  facts.protocol = 6;
  facts.rx_queue = facts.tx_queue = 0;
  facts.inode = 0;
  const auto substate = TRY(substate_.read(kernel_->memory(), sock));
  if (substate) facts.state = *substate;
  return {};
}

Result<void> SocketFields::read_full(const FoundSocket& found, SocketFacts& facts) {
  const auto& memory = kernel_->memory();
  TRY(sock_.load(memory, found.sock));
  facts.type = TRY(type_.read(sock_));
  facts.protocol = TRY(protocol_.read(sock_));
  facts.uid = TRY(uid_.read(sock_));
  facts.inode = TRY(inode_of(found.sock));
  facts.rx_queue = TRY(rmem_.read(sock_));
  // Source: sk_wmem_alloc_get() in include/net/sock.h: one reference is the socket's own.
  facts.tx_queue = std::int64_t{TRY(wmem_.read(sock_))} - 1;
  facts.drops = drops_of(found.sock);
  const bool listening = facts.state == kListen;
  if (listening) {
    facts.rx_queue = TRY(backlog_used_.read(sock_));
    facts.backlog = TRY(backlog_most_.read(sock_));
  }
  switch (found.table) {
    case SocketTable::tcp:
    case SocketTable::tcp_listening:
      if (*facts.protocol != 6 && *facts.protocol != 262) {
        return fail(Errc::torn, found.sock.value, "sock.sk_protocol");
      }
      read_tcp(found.sock, facts);
      break;
    case SocketTable::udp:
    case SocketTable::udplite: {
      const auto deficit = forward_deficit_.read(memory, found.sock);
      if (deficit && *deficit) *facts.rx_queue -= **deficit;
      break;
    }
    case SocketTable::raw:
      facts.protocol = facts.local_port;  // inet_num is the protocol, and no port
      facts.local_port.reset();
      facts.remote_port.reset();
      break;
    case SocketTable::icmp:
      break;
    case SocketTable::unix_domain:
      read_unix(found.sock, facts);
      break;
    case SocketTable::packet:
      read_packet(found.sock, facts);
      break;
    case SocketTable::netlink:
      read_netlink(found.sock, facts);
      break;
  }
  return {};
}

/// Source: get_tcp4_sock() in net/ipv4/tcp_ipv4.c, 5.10 to 7.3.
void SocketFields::read_tcp(Gva sock, SocketFacts& facts) const {
  const auto& memory = kernel_->memory();
  const auto value =
      [&](const OptionalField<std::uint32_t>& field) -> std::optional<std::uint32_t> {
    const auto read = field.read(memory, sock);
    return read ? *read : std::nullopt;
  };
  const auto difference = [](auto ahead, auto behind) -> std::optional<std::int64_t> {
    if (!ahead || !behind) return std::nullopt;
    return static_cast<std::int32_t>(*ahead - *behind);
  };
  facts.tx_queue = difference(value(written_), value(acknowledged_));
  if (facts.state == kListen) return;
  facts.rx_queue = difference(value(received_), value(copied_));
  if (facts.rx_queue)
    facts.rx_queue = std::max<std::int64_t>(*facts.rx_queue, 0);  // a FIN counts as one
}

void SocketFields::read_unix(Gva sock, SocketFacts& facts) const {
  const auto& memory = kernel_->memory();
  // Bytes waiting are not counted in the socket: a listener has connections waiting.
  facts.protocol.reset();
  facts.rx_queue.reset();
  if (facts.state == kListen) {
    const auto waiting = receive_count_.read(memory, sock);
    if (waiting && *waiting) facts.rx_queue = **waiting;
  }
  const auto address = unix_address_.read(memory, sock);
  if (address && *address && **address && unix_name_ != 0) {
    const auto size = unix_address_size_.read(memory, **address);
    if (size && *size && **size > static_cast<std::int32_t>(kFamilyBytes)) {
      std::string name(
          std::min<std::uint64_t>(static_cast<std::uint64_t>(**size), kMaxUnixAddress) -
              kFamilyBytes,
          '\0');
      const std::span text(name.data(), name.size());
      if (memory.read(**address + unix_name_ + kFamilyBytes, std::as_writable_bytes(text))) {
        facts.path = unix_name(name);
      }
    }
  }
  const auto peer = unix_peer_.read(memory, sock);
  if (peer && *peer && **peer) {
    facts.peer = **peer;
    if (const auto inode = inode_of(facts.peer)) facts.peer_inode = *inode;
  }
}

void SocketFields::read_packet(Gva sock, SocketFacts& facts) const {
  const auto& memory = kernel_->memory();
  facts.protocol.reset();
  if (const auto number = packet_protocol_.read(memory, sock); number && *number) {
    facts.protocol = from_big_endian(**number);
  }
  if (const auto device = packet_device_.read(memory, sock); device && *device) {
    facts.bound_device = **device;
  }
  if (packet_running_.exists()) {
    if (const auto running = packet_running_.read(memory, sock); running)
      facts.running = **running != 0;
  } else if (packet_running_bit_ && *packet_running_bit_ >= 0 && *packet_running_bit_ < 64) {
    const auto flags = packet_flags_.read(memory, sock);
    if (flags && *flags) facts.running = (**flags >> *packet_running_bit_ & 1) != 0;
  }
}

void SocketFields::read_netlink(Gva sock, SocketFacts& facts) const {
  const auto& memory = kernel_->memory();
  if (const auto port = netlink_port_.read(memory, sock); port) facts.port_id = *port;
  const auto groups = netlink_groups_.read(memory, sock);
  if (!groups || !*groups) return;
  facts.groups = 0;
  if (!**groups) return;
  const auto first = memory.load<std::uint64_t>(**groups);
  if (first) facts.groups = *first;
}

/// Source: sock_i_ino() in net/core/sock.c.
Result<std::uint64_t> SocketFields::inode_of(Gva sock) const {
  const auto& memory = kernel_->memory();
  if (own_inode_.exists()) return own_inode_.field().read(memory, sock);
  const Gva socket = TRY(socket_.read(memory, sock));
  if (!socket) return 0;
  return inode_number_.read(memory, allocated_.owner(socket));
}

/// Source: sk_drops_read() in include/net/sock.h: a socket may keep two counters apart.
std::optional<std::int64_t> SocketFields::drops_of(Gva sock) const {
  const auto& memory = kernel_->memory();
  if (const auto counters = drop_counters_.read(memory, sock);
      counters && *counters && **counters) {
    const auto first = drops0_.read(memory, **counters);
    const auto second = drops1_.read(memory, **counters);
    if (!first || !*first || !second || !*second) return std::nullopt;
    return std::int64_t{**first} + **second;
  }
  const auto drops = drops_.read(memory, sock);
  if (!drops) return std::nullopt;
  return *drops;
}

}  // namespace vitrine::linux::net
