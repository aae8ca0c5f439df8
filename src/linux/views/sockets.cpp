#include <fmt/core.h>

#include <algorithm>

#include "linux/kernel.h"
#include "linux/net/address.h"
#include "linux/net/names.h"
#include "linux/net/net_namespaces.h"
#include "linux/net/socket_fields.h"
#include "linux/net/socket_owners.h"
#include "linux/net/socket_tables.h"
#include "linux/views/all_views.h"
#include "memory/read_ahead.h"

namespace vitrine::linux {
namespace {

using net::SocketTable;
using Stage = ReadAhead::Stage;

enum Index : std::size_t {
  kProtocol,
  kFamily,
  kType,
  kState,
  kRxQueue,
  kTxQueue,
  kLocal,
  kRemote,
  kProcess,
  kPid,
  kFd,
  kOwners,
  kUid,
  kInode,
  kNetns,
  kLocalAddress,
  kLocalPort,
  kRemoteAddress,
  kRemotePort,
  kInterface,
  kInterfaceIndex,
  kPath,
  kPeerInode,
  kProtocolNumber,
  kProtocolName,
  kPortId,
  kGroups,
  kRunning,
  kBacklog,
  kDrops,
  kAddress,
};

constexpr Column kColumns[] = {
    {"protocol", ColumnType::text, "tcp, udp, udplite, raw, icmp, unix, packet or netlink"},
    {"family", ColumnType::text, "address family: ipv4, ipv6, unix, packet, netlink",
     Column::hidden},
    {"type", ColumnType::text, "stream, dgram, raw, rdm, seqpacket (sock.sk_type)", Column::hidden},
    {"state", ColumnType::text,
     "TCP's names, for all protocols: ESTABLISHED, LISTEN, CLOSE (not connected) ... (skc_state)"},
    {"rx_queue", ColumnType::integer,
     "bytes received and not read; of a listener: connections not accepted"},
    {"tx_queue", ColumnType::integer, "bytes sent and not acknowledged, or not yet freed"},
    {"local", ColumnType::text,
     "local address and port; a unix socket's name; a netlink socket's port id"},
    {"remote", ColumnType::text, "remote address and port; '*' is any"},
    {"process", ColumnType::text, "name of the first owner's process"},
    {"pid", ColumnType::integer, "first owner: the lowest pid with a descriptor for it"},
    {"fd", ColumnType::integer, "that owner's descriptor"},
    {"owners", ColumnType::list, "all owners, as NAME[PID]:FD", Column::hidden},
    {"uid", ColumnType::integer,
     "user of the socket (sk_uid); of a connection request: its listener's", Column::hidden},
    {"inode", ColumnType::integer,
     "socket:[inode] in /proc/PID/fd; 0: no longer, or not yet, a program's", Column::hidden},
    {"netns", ColumnType::integer, "network namespace: net:[inode] in /proc/PID/ns",
     Column::hidden},
    {"local_address", ColumnType::text, "IPv4 or IPv6 address", Column::hidden},
    {"local_port", ColumnType::integer, "port; of icmp: the identifier", Column::hidden},
    {"remote_address", ColumnType::text, "IPv4 or IPv6 address", Column::hidden},
    {"remote_port", ColumnType::integer, "port; 0: not connected", Column::hidden},
    {"interface", ColumnType::text, "the interface it is bound to", Column::hidden},
    {"interface_index", ColumnType::integer, "its index", Column::hidden},
    {"path", ColumnType::text, "name of a unix socket, as bound; '@' before an abstract one",
     Column::hidden},
    {"peer_inode", ColumnType::integer, "inode of the unix socket at the other end",
     Column::hidden},
    {"protocol_number", ColumnType::integer,
     "IP protocol, netlink protocol, or a packet socket's Ethernet type", Column::hidden},
    {"protocol_name", ColumnType::text, "its name: tcp, ospf; route, audit; arp, all",
     Column::hidden},
    {"port_id", ColumnType::integer, "netlink address (netlink_sock.portid); 0: the kernel's end",
     Column::hidden},
    {"groups", ColumnType::mask, "netlink multicast groups joined: 1 to 64 as bits",
     Column::hidden},
    {"running", ColumnType::boolean, "a packet socket that receives", Column::hidden},
    {"backlog", ColumnType::integer,
     "of a listener: connections that may wait (sk_max_ack_backlog)", Column::hidden},
    {"drops", ColumnType::integer, "packets dropped since it was made", Column::hidden},
    {"address", ColumnType::address,
     "struct sock; request_sock in NEW_SYN_RECV, inet_timewait_sock in TIME_WAIT", Column::hidden},
};

constexpr ViewInfo kInfo{
    "sockets", "network, unix, packet and netlink sockets, and whose they are", kColumns,
    "by network namespace (the initial one first), protocol, and as the kernel's tables have them",
    "address"};

constexpr std::string_view name(SocketTable table) {
  switch (table) {
    case SocketTable::tcp_listening:
    case SocketTable::tcp:
      return "tcp";
    case SocketTable::udp:
      return "udp";
    case SocketTable::udplite:
      return "udplite";
    case SocketTable::raw:
      return "raw";
    case SocketTable::icmp:
      return "icmp";
    case SocketTable::unix_domain:
      return "unix";
    case SocketTable::packet:
      return "packet";
    case SocketTable::netlink:
      return "netlink";
  }
  return "";
}

template <class T>
Value integer(const std::optional<T>& value) {
  if (!value) return Missing{};
  return static_cast<std::int64_t>(*value);
}

Value text(std::string value) {
  if (value.empty()) return Missing{};
  return value;
}

class Reader final : public ViewReader {
 public:
  Reader(const ReadAhead& ahead, net::NetNamespaces namespaces, net::SocketTables tables,
         net::SocketFields fields, Outcome<net::SocketOwners> owners)
      : ahead_(ahead),
        namespaces_(std::move(namespaces)),
        tables_(std::move(tables)),
        fields_(std::move(fields)),
        owners_(std::move(owners)) {}

  Outcome<Tally> read(RowSink& rows) override {
    const ReadAhead::Look look(ahead_, plan_);
    Tally tally;
    std::vector<net::NetNamespace> list;
    const auto walked = namespaces_.list(list);
    if (walked.broken && list.empty()) {
      return std::unexpected(
          Problem{walked.broken->code,
                  "the list of network namespaces cannot be read: " + describe(*walked.broken)});
    }
    if (walked.broken) tally.warnings.push_back("network namespaces: " + describe(*walked.broken));
    tally.truncated |= walked.truncated;
    namespaces_.forget();
    one_process_ = !rows.wants_pid(kNoPid);
    if (owners_ && (one_process_ || rows.wants_any(kProcess, kPid, kFd, kOwners)))
      owners_->read(tally);
    if (!owners_ && rows.wants_any(kProcess, kPid, kFd, kOwners)) {
      tally.warnings.push_back("owners are not known: " + owners_.error().message);
    }

    for (const auto& found : find(list, tally)) {
      bool doubtful = false;
      auto facts = read_settled(found, tally, doubtful);
      if (!facts) continue;
      const auto& owners = owners_of(found, *facts);
      if (one_process_ &&
          std::ranges::none_of(owners, [&](const auto& o) { return rows.wants_pid(o.pid); })) {
        continue;
      }
      rows.begin();
      fill(rows, found, *facts, owners);
      if (doubtful) rows.doubt("left its table while it was read");
      if (!rows.end()) break;
    }
    return tally;
  }

  std::vector<MissingColumns> missing_columns() const override {
    std::vector<MissingColumns> missing;
    for (const auto& reason : tables_.missing()) missing.push_back({{}, reason});
    for (const auto& reason : fields_.missing()) missing.push_back({{}, reason});
    if (!owners_) missing.push_back({{"process", "pid", "fd", "owners"}, owners_.error().message});
    return missing;
  }

 private:
  static constexpr std::int64_t kNoPid = -1;

  /// What is in the tables: as fetched when the look began, if that is of one piece.
  std::vector<net::FoundSocket> find(const std::vector<net::NetNamespace>& list, Tally& tally) {
    {
      const ReadAhead::In stage(ahead_, Stage::anchors);
      Tally first;
      auto sockets = tables_.find(list, first);
      const bool sound = first.retries == 0 && first.dropped == 0 && first.warnings.empty();
      if (sound) {
        tally.truncated |= first.truncated;
        return sockets;
      }
    }
    const ReadAhead::In stage(ahead_, Stage::anew);
    return tables_.find(list, tally);
  }

  std::optional<net::SocketFacts> read_settled(const net::FoundSocket& found, Tally& tally,
                                               bool& doubtful) {
    for (unsigned attempt = 0; attempt < 3; ++attempt) {
      auto facts = [&] {
        const ReadAhead::In stage(ahead_, attempt == 0 ? Stage::objects : Stage::anew);
        return fields_.read(found);
      }();
      const bool settled = facts && still_hashed(found);
      if (settled) return *std::move(facts);
      if (attempt == 2 && facts) {
        doubtful = true;
        return *std::move(facts);
      }
      ++tally.retries;
    }
    ++tally.dropped;
    return std::nullopt;
  }

  bool still_hashed(const net::FoundSocket& found) const {
    const ReadAhead::In stage(ahead_, Stage::again);
    return tables_.still_hashed(found);
  }

  const std::vector<net::SocketOwner>& owners_of(const net::FoundSocket& found,
                                                 const net::SocketFacts& facts) const {
    static const std::vector<net::SocketOwner> kNobody;
    return owners_ ? owners_->of(found.sock, facts.inode.value_or(0)) : kNobody;
  }

  void fill(RowSink& rows, const net::FoundSocket& found, const net::SocketFacts& facts,
            const std::vector<net::SocketOwner>& owners) {
    rows.set(kProtocol, std::string(name(found.table)));
    rows.set(kFamily, net::family_name(facts.family));
    if (facts.type) rows.set(kType, net::type_name(*facts.type));
    rows.set(kState, net::state_name(facts.state));
    rows.set(kRxQueue, integer(facts.rx_queue));
    rows.set(kTxQueue, integer(facts.tx_queue));
    rows.set(kUid, integer(facts.uid));
    rows.set(kInode, integer(facts.inode));
    rows.set(kLocalAddress, text(facts.local_address));
    rows.set(kRemoteAddress, text(facts.remote_address));
    rows.set(kLocalPort, integer(facts.local_port));
    rows.set(kRemotePort, integer(facts.remote_port));
    rows.set(kProtocolNumber, integer(facts.protocol));
    rows.set(kBacklog, integer(facts.backlog));
    rows.set(kDrops, integer(facts.drops));
    rows.set(kPortId, integer(facts.port_id));
    rows.set(kPeerInode, integer(facts.peer_inode));
    if (facts.groups) rows.set(kGroups, *facts.groups);
    if (facts.running) rows.set(kRunning, *facts.running);
    if (facts.path) rows.set(kPath, *facts.path);
    rows.set(kAddress, found.sock.value);
    if (rows.wants(kNetns)) {
      if (const auto net = namespaces_.at(found.net)) rows.set(kNetns, net->inode);
    }
    std::optional<std::string> interface;
    if (facts.bound_device > 0) {
      interface = namespaces_.device_name(found.net, facts.bound_device);
      rows.set(kInterfaceIndex, std::int64_t{facts.bound_device});
      if (interface) rows.set(kInterface, *interface);
    }
    fill_names(rows, found, facts, interface.value_or("*"));
    if (owners.empty()) return;
    rows.set(kProcess, owners.front().process);
    rows.set(kPid, owners.front().pid);
    rows.set(kFd, owners.front().fd);
    if (rows.wants(kOwners)) {
      std::vector<std::string> all;
      for (const auto& owner : owners)
        all.push_back(fmt::format("{}[{}]:{}", owner.process, owner.pid, owner.fd));
      rows.set(kOwners, std::move(all));
    }
  }

  void fill_names(RowSink& rows, const net::FoundSocket& found, const net::SocketFacts& facts,
                  const std::string& interface) const {
    std::string protocol;
    switch (found.table) {
      case SocketTable::unix_domain:
        if (facts.path) rows.set(kLocal, *facts.path);
        return;
      case SocketTable::packet:
        // 0 receives nothing: a socket that only sends.
        protocol = net::ethernet_name(facts.protocol.value_or(0));
        rows.set(kLocal, protocol + ":" + interface);
        break;
      case SocketTable::netlink:
        protocol = net::netlink_name(facts.protocol.value_or(0));
        rows.set(kLocal, fmt::format("{}:{}", protocol, facts.port_id.value_or(0)));
        break;
      default:
        protocol = net::ip_protocol_name(facts.protocol.value_or(0));
        rows.set(kLocal, net::endpoint_text(facts.local_address, facts.local_port.value_or(0)));
        rows.set(kRemote, net::endpoint_text(facts.remote_address, facts.remote_port.value_or(0)));
        break;
    }
    rows.set(kProtocolName, protocol);
  }

  const ReadAhead& ahead_;
  ReadPlan plan_;
  net::NetNamespaces namespaces_;
  net::SocketTables tables_;
  net::SocketFields fields_;
  Outcome<net::SocketOwners> owners_;
  bool one_process_ = false;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto namespaces = TRY(net::NetNamespaces::open(kernel));
  auto tables = TRY(net::SocketTables::open(kernel));
  auto fields = TRY(net::SocketFields::open(kernel));
  return std::make_unique<Reader>(kernel.read_ahead(), std::move(namespaces), std::move(tables),
                                  std::move(fields), net::SocketOwners::open(kernel));
}

}  // namespace

const View sockets_view(kInfo, open);

}  // namespace vitrine::linux
