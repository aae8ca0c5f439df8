#include "linux/net/socket_tables.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "linux/kernel.h"
#include "linux/net/hash_table.h"

namespace vitrine::linux::net {
namespace {

/// Source: LISTENING_NULLS_BASE in include/net/inet_hashtables.h, 5.5 to 7.3.
constexpr std::uint64_t kListeningMarks = std::uint64_t{1} << 29;
/// Source: UNIX_HASH_SIZE in include/net/af_unix.h: 2 * 256 since 2.6; the first half for
/// bound sockets up to 6.0, and for path names since.
constexpr std::uint64_t kUnixBuckets = 512;
constexpr std::size_t kTableKinds = static_cast<std::size_t>(SocketTable::netlink) + 1;
constexpr std::uint64_t kMaxBucketsInAll = 1 << 26;
/// Source: MAX_LINKS in include/uapi/linux/netlink.h: nl_table's elements.
constexpr std::uint64_t kNetlinkProtocols = 32;

/// Is the array's element, or the member, an hlist_nulls_head?
bool is_nulls(const TypeCatalogue& types, std::string_view path) {
  const auto compiled = MemberPath::compile(types, path);
  if (!compiled) return false;
  auto type = compiled->type().resolved();
  if (type.kind() == btf::Kind::array) type = type.target().resolved();
  return type.name() == "hlist_nulls_head";
}

}  // namespace

Outcome<SocketTables> SocketTables::open(const Kernel& kernel) {
  SocketTables tables;
  tables.kernel_ = &kernel;
  FieldBinder bind(kernel.types());
  bind(tables.node_, "sock.__sk_common.skc_node");
  bind(tables.net_, "sock.__sk_common.skc_net.net");
  if (auto done = bind.done(); !done) return std::unexpected(std::move(done.error()));
  if (!tables.net_.exists()) tables.only_net_ = TRY(kernel.symbol("init_net"));
  tables.bind_tcp();
  tables.bind_udp();
  tables.bind_raw_and_icmp();
  tables.bind_unix();
  tables.bind_packet();
  tables.bind_netlink();
  return tables;
}

/// @returns whether all fields are there; if not, says what is missing of `protocol`.
bool SocketTables::bound(std::string_view protocol, const FieldBinder& bind) {
  const auto done = bind.done();
  if (!done) missing_.push_back(fmt::format("{} sockets: {}", protocol, done.error().message));
  return done.has_value();
}

void SocketTables::bind_tcp() {
  tcp_hashinfo_ = find_symbol(*kernel_, "tcp_hashinfo");
  const auto& types = kernel_->types();
  FieldBinder bind(types);
  bind(established_.buckets, "inet_hashinfo.ehash");
  bind(established_.mask, "inet_hashinfo.ehash_mask");
  bind(established_.head, "inet_ehash_bucket.chain");
  // Up to 5.18 listening sockets hang in an array inside inet_hashinfo (cae3873c5b3a of 5.19).
  const bool array = MemberPath::compile(types, "inet_hashinfo.listening_hash").has_value();
  if (array) {
    bind(listening_array_, "inet_hashinfo.listening_hash");
  } else {
    bind(listening_.buckets, "inet_hashinfo.lhash2");
    bind(listening_.mask, "inet_hashinfo.lhash2_mask");
  }
  bind(listening_.head, {"inet_listen_hashbucket.nulls_head", "inet_listen_hashbucket.head"});
  // A pointer in 5.19 and 6.0, embedded before and since.
  bind(net_hashinfo_, {"net.ipv4.tcp_death_row.hashinfo", "net.ipv4.tcp_death_row->hashinfo"});
  established_.stride = types.size_of("inet_ehash_bucket").value_or(0);
  established_.nulls = is_nulls(types, "inet_ehash_bucket.chain");
  listening_.stride = types.size_of("inet_listen_hashbucket").value_or(0);
  listening_.nulls = is_nulls(types, "inet_listen_hashbucket.nulls_head");
  if (!bound("tcp", bind)) established_.stride = listening_.stride = 0;
}

void SocketTables::bind_udp() {
  udp_table_ = find_symbol(*kernel_, "udp_table");
  udplite_table_ = find_symbol(*kernel_, "udplite_table");
  FieldBinder bind(kernel_->types());
  bind(udp_.buckets, "udp_table.hash");
  bind(udp_.mask, "udp_table.mask");
  bind(udp_.head, "udp_hslot.head");
  bind(net_udp_table_, "net.ipv4.udp_table");  // since 6.2
  udp_.stride = kernel_->types().size_of("udp_hslot").value_or(0);
  if (!bound("udp", bind)) udp_.stride = 0;
}

void SocketTables::bind_raw_and_icmp() {
  const auto& types = kernel_->types();
  if (const auto v4 = find_symbol(*kernel_, "raw_v4_hashinfo")) raw_tables_.push_back(*v4);
  if (const auto v6 = find_symbol(*kernel_, "raw_v6_hashinfo")) raw_tables_.push_back(*v6);
  if (!raw_tables_.empty()) {
    FieldBinder bind(types);
    bind(raw_heads_, "raw_hashinfo.ht");
    raw_nulls_ = is_nulls(types, "raw_hashinfo.ht");  // in 6.0 alone
    if (!bound("raw", bind)) raw_tables_.clear();
  }
  ping_table_ = find_symbol(*kernel_, "ping_table");
  if (ping_table_) {
    FieldBinder bind(types);
    bind(ping_heads_, "ping_table.hash");
    ping_nulls_ = is_nulls(types, "ping_table.hash");  // up to 5.18
    if (!bound("icmp", bind)) ping_table_.reset();
  }
}

void SocketTables::bind_unix() {
  FieldBinder bind(kernel_->types());
  bind(net_unix_buckets_, "net.unx.table.buckets");  // since 6.1 (cf2f225e2653)
  (void)bound("unix", bind);
  if (!net_unix_buckets_.exists()) unix_table_ = find_symbol(*kernel_, "unix_socket_table");
}

void SocketTables::bind_packet() {
  FieldBinder bind(kernel_->types());
  bind(packet_list_, "net.packet.sklist");
  has_packet_ = bound("packet", bind);
}

void SocketTables::bind_netlink() {
  netlink_tables_ = find_symbol(*kernel_, "nl_table");
  if (!netlink_tables_) {
    missing_.push_back("netlink sockets: this kernel has no symbol nl_table");
    return;
  }
  FieldBinder bind(kernel_->types());
  Embedded hash, table, size, nest, future, buckets, next;
  bind(hash, "netlink_table.hash");
  bind(table, "rhashtable.tbl");
  bind(size, "bucket_table.size");
  bind(nest, "bucket_table.nest");
  bind(future, "bucket_table.future_tbl");
  bind(buckets, "bucket_table.buckets");
  bind(next, "rhash_head.next");
  bind(netlink_node_, "netlink_sock.node");
  netlink_stride_ = kernel_->types().size_of("netlink_table").value_or(0);
  if (!bound("netlink", bind)) {
    netlink_tables_.reset();
    return;
  }
  netlink_hash_ = *hash.offset();
  netlink_layout_ = {.table = *table.offset(),
                     .size = *size.offset(),
                     .nest = *nest.offset(),
                     .future = *future.offset(),
                     .buckets = *buckets.offset(),
                     .next = *next.offset()};
}

class SocketTables::Finder {
 public:
  Finder(const SocketTables& tables, Tally& tally)
      : tables_(tables), memory_(tables.kernel_->memory()), tally_(tally) {}

  void tcp(Gva hashinfo) {
    if (!is_new_table(hashinfo)) return;
    if (tables_.listening_array_.bound()) {
      chains("tcp", SocketTable::tcp_listening,
             {.buckets = tables_.listening_array_.in(hashinfo),
              .count = tables_.listening_array_.count(),
              .stride = tables_.listening_array_.stride(),
              .head = *tables_.listening_.head.offset(),
              .nulls = tables_.listening_.nulls,
              .first_mark = kListeningMarks});
    } else {
      counted("tcp", SocketTable::tcp_listening, tables_.listening_, hashinfo, kListeningMarks);
    }
    counted("tcp", SocketTable::tcp, tables_.established_, hashinfo, 0);
  }

  void udp(Gva table, SocketTable kind) {
    if (is_new_table(table)) counted("udp", kind, tables_.udp_, table, 0);
  }

  void array(std::string_view protocol, SocketTable kind, const Embedded& heads, Gva object,
             bool nulls) {
    chains(protocol, kind,
           {.buckets = heads.in(object),
            .count = heads.count(),
            .stride = heads.stride(),
            .nulls = nulls});
  }

  void chains(std::string_view protocol, SocketTable kind, const HashTable& table) {
    auto& left = left_[static_cast<std::size_t>(kind)];
    // A table for each namespace: their buckets count, too.
    const auto buckets = std::min(table.count, kMaxBuckets);
    if (buckets_left_ < buckets || left == 0) {
      tally_.truncated = true;
      return;
    }
    buckets_left_ -= buckets;
    const auto walked = walk_hash_table(
        memory_, table, left,
        [&](Gva node) {
          add(tables_.node_.owner(node), kind);
          return true;
        },
        &tally_.retries);
    left -= std::min(left, walked.visited);
    note(protocol, walked);
  }

  void netlink() {
    const auto tables = memory_.load<std::uint64_t>(*tables_.netlink_tables_);
    if (!tables || *tables == 0) {
      tally_.warnings.push_back("netlink sockets: nl_table cannot be read");
      return;
    }
    for (std::uint64_t i = 0; i < kNetlinkProtocols; ++i) {
      const Gva hash = Gva{*tables} + i * tables_.netlink_stride_ + tables_.netlink_hash_;
      auto& left = left_[static_cast<std::size_t>(SocketTable::netlink)];
      const auto walked =
          walk_rhashtable(memory_, tables_.netlink_layout_, hash, left, [&](Gva node) {
            add(tables_.netlink_node_.owner(node), SocketTable::netlink);
            return true;
          });
      left -= std::min(left, walked.visited);
      note("netlink", walked);
    }
  }

  std::vector<FoundSocket> found;

 private:
  bool is_new_table(Gva table) { return table && seen_.insert(table).second; }

  void counted(std::string_view protocol, SocketTable kind, const Counted& layout, Gva object,
               std::uint64_t first_mark) {
    const auto buckets = layout.buckets.read(memory_, object);
    const auto mask = layout.mask.read(memory_, object);
    if (!buckets || !mask) {
      tally_.warnings.push_back(fmt::format("{} sockets: {}", protocol,
                                            describe(!buckets ? buckets.error() : mask.error())));
      return;
    }
    chains(protocol, kind,
           {.buckets = *buckets,
            .count = std::uint64_t{*mask} + 1,
            .stride = layout.stride,
            .head = *layout.head.offset(),
            .nulls = layout.nulls,
            .first_mark = first_mark});
  }

  void add(Gva sock, SocketTable table) {
    if (!seen_.insert(sock).second) return;  // it moved, and was met twice
    const auto net = tables_.net_.read(memory_, sock);
    if (net) {
      found.push_back({sock, *net ? **net : *tables_.only_net_, table});
    } else {
      ++tally_.dropped;
    }
  }

  void note(std::string_view protocol, const Walked& walked) {
    tally_.truncated |= walked.truncated;
    if (walked.broken) {
      tally_.warnings.push_back(fmt::format("{} sockets: a chain could not be followed: {}",
                                            protocol, describe(*walked.broken)));
    } else if (walked.mismatches > 0) {
      tally_.warnings.push_back(fmt::format(
          "{} sockets: {} chains kept changing while they were read", protocol, walked.mismatches));
    }
  }

  const SocketTables& tables_;
  const VirtualMemory& memory_;
  Tally& tally_;
  std::unordered_set<Gva> seen_;
  std::array<std::size_t, kTableKinds> left_ = [] {
    std::array<std::size_t, kTableKinds> left;
    left.fill(kLimit);
    return left;
  }();
  std::uint64_t buckets_left_ = kMaxBucketsInAll;
};

std::vector<FoundSocket> SocketTables::find(const std::vector<NetNamespace>& namespaces,
                                            Tally& tally) const {
  const auto& memory = kernel_->memory();
  Finder finder(*this, tally);
  const auto follow = [&](const OptionalField<Gva>& field, Gva net) {
    const auto at = field.read(memory, net);
    return at && *at ? **at : Gva{};
  };
  if (established_.stride != 0) {
    if (tcp_hashinfo_) finder.tcp(*tcp_hashinfo_);
    for (const auto& net : namespaces) finder.tcp(follow(net_hashinfo_, net.address));
  }
  if (udp_.stride != 0) {
    if (udp_table_) finder.udp(*udp_table_, SocketTable::udp);
    for (const auto& net : namespaces)
      finder.udp(follow(net_udp_table_, net.address), SocketTable::udp);
    if (udplite_table_) finder.udp(*udplite_table_, SocketTable::udplite);
  }
  for (const Gva table : raw_tables_)
    finder.array("raw", SocketTable::raw, raw_heads_, table, raw_nulls_);
  if (ping_table_) finder.array("icmp", SocketTable::icmp, ping_heads_, *ping_table_, ping_nulls_);
  if (unix_table_) {
    finder.chains("unix", SocketTable::unix_domain,
                  {.buckets = *unix_table_, .count = kUnixBuckets});
  }
  for (const auto& net : namespaces) {
    if (const Gva buckets = follow(net_unix_buckets_, net.address)) {
      finder.chains("unix", SocketTable::unix_domain, {.buckets = buckets, .count = kUnixBuckets});
    }
    if (has_packet_) {
      finder.chains("packet", SocketTable::packet,
                    {.buckets = packet_list_.in(net.address), .count = 1});
    }
  }
  if (netlink_tables_) finder.netlink();

  std::unordered_map<Gva, std::size_t> place;
  for (const auto& net : namespaces) place.try_emplace(net.address, place.size());
  const auto rank = [&](const FoundSocket& socket) {
    const auto at = place.find(socket.net);
    return std::pair(at == place.end() ? place.size() : at->second, socket.table);
  };
  std::ranges::stable_sort(finder.found, {}, rank);
  return std::move(finder.found);
}

bool SocketTables::still_hashed(const FoundSocket& found) const {
  if (found.table == SocketTable::netlink) return true;  // rhash_heads have no way back
  const Gva node = node_.in(found.sock);
  const auto back = kernel_->memory().load<std::uint64_t>(node + 8);
  if (!back || !is_kernel_pointer(Gva{*back})) return false;
  const auto here = kernel_->memory().load<std::uint64_t>(Gva{*back});
  return here && *here == node.value;
}

}  // namespace vitrine::linux::net
