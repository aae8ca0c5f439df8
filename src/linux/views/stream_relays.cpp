#include "linux/views/stream_relays.h"

#include <algorithm>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {
namespace {

constexpr std::uint16_t kIpv4 = 2, kIpv6 = 10;           // AF_INET, AF_INET6
constexpr std::uint16_t kTcp = 6, kMultipathTcp = 262;   // IPPROTO_TCP, IPPROTO_MPTCP
constexpr std::uint8_t kEstablished = 1, kListen = 10;   // TCP_ESTABLISHED, TCP_LISTEN
constexpr std::uint32_t kAccessMode = 3, kReadOnly = 0;  // O_ACCMODE, O_RDONLY
constexpr unsigned kPipe = 1, kCharacter = 2;            // S_IFIFO, S_IFCHR >> 12
// Documentation/admin-guide/devices.txt: /dev/ptmx is 5:2; slaves have the majors 136 to 143.
constexpr std::uint32_t kMaster = 5 << 20 | 2;
constexpr std::uint32_t kFirstSlave = 136, kLastSlave = 143;
/// Of one process; more than fs.nr_open allows by default are not looked at. Then of all.
constexpr std::uint32_t kMaxDescriptors = 1 << 20;
constexpr std::size_t kMaxSlots = 1 << 26, kMaxFiles = 1 << 22;
constexpr std::size_t kAtOnce = 4096;  // slots of a table

}  // namespace

StreamRelays::StreamRelays(const Kernel& kernel)
    : memory_(&kernel.memory()),
      socket_operations_(kernel.symbols().find("socket_file_ops").value_or(Gva{})) {}

Outcome<StreamRelays> StreamRelays::open(const Kernel& kernel) {
  StreamRelays made(kernel);
  FieldBinder bind(kernel.types());
  bind(made.task_files_, "task_struct.files");
  bind(made.fdt_, "files_struct.fdt");
  bind(made.table_, "fdtable.fd");
  bind(made.most_, "fdtable.max_fds");
  bind(made.operations_, "file.f_op");
  bind(made.private_data_, "file.private_data");
  bind(made.inode_, "file.f_inode");
  bind(made.flags_, "file.f_flags");
  bind(made.mode_, "inode.i_mode");
  bind(made.device_, "inode.i_rdev");
  bind(made.tty_, "tty_file_private.tty");
  bind(made.tty_link_, "tty_struct.link");
  bind(made.sock_, "socket.sk");
  bind(made.family_, "sock.__sk_common.skc_family");
  bind(made.state_, "sock.__sk_common.skc_state");
  bind(made.local_port_, "sock.__sk_common.skc_num");
  bind(made.remote_port_, "sock.__sk_common.skc_dport");
  bind(made.protocol_, "sock.sk_protocol");
  TRY(bind.done());
  return made;
}

bool StreamRelays::gather(const std::vector<TaskRef>& processes) {
  givers_.clear();
  connections_.clear();
  listened_.clear();
  bool all = true;
  std::size_t slots = kMaxSlots, left = kMaxFiles;
  std::vector<Gva> some(kAtOnce);
  for (const auto& process : processes) {
    const auto files = task_files_.read(*memory_, process.address);
    if (!files || !*files) continue;
    const auto fdt = fdt_.read(*memory_, *files);
    if (!fdt) continue;
    const std::size_t size = most_.read(*memory_, *fdt).value_or(0);
    const auto table = table_.read(*memory_, *fdt);
    if (!table) continue;
    const auto most = std::min<std::size_t>({size, kMaxDescriptors, slots});
    all = all && most == size;
    slots -= most;
    for (std::size_t from = 0; from < most; from += kAtOnce) {
      const auto part = std::span(some).first(std::min(kAtOnce, most - from));
      if (!memory_->read(*table + from * sizeof(Gva), std::as_writable_bytes(part))) continue;
      for (const auto file : part) {
        if (!is_kernel_pointer(file)) continue;
        if (left == 0) return false;
        --left;
        if (const auto stream = stream_of(file)) {
          if (stream->gives) givers_[stream->shared].push_back(process.tgid);
        } else {
          take_socket(file, process.tgid);
        }
      }
    }
  }
  return all;
}

std::optional<StreamRelays::Stream> StreamRelays::stream_of(Gva file) const {
  const auto inode = inode_.read(*memory_, file);
  if (!inode || !*inode) return std::nullopt;
  const unsigned kind = mode_.read(*memory_, *inode).value_or(0) >> 12;
  if (kind == kPipe) {
    const auto access = flags_.read(*memory_, file).value_or(0) & kAccessMode;
    return Stream{*inode, access != kReadOnly};
  }
  if (kind != kCharacter) return std::nullopt;
  const auto device = device_.read(*memory_, *inode).value_or(0);
  const bool slave = device >> 20 >= kFirstSlave && device >> 20 <= kLastSlave;
  if (!slave && device != kMaster) return std::nullopt;
  const auto of_file = private_data_.read(*memory_, file);
  if (!of_file || !*of_file) return std::nullopt;
  auto tty = tty_.read(*memory_, *of_file);
  if (tty && *tty && !slave) tty = tty_link_.read(*memory_, *tty);
  if (!tty || !*tty) return std::nullopt;
  return Stream{*tty, !slave};
}

void StreamRelays::take_socket(Gva file, std::int32_t pid) {
  if (!socket_operations_ || operations_.read(*memory_, file).value_or(Gva{}) != socket_operations_)
    return;
  const auto socket = private_data_.read(*memory_, file);
  if (!socket || !*socket) return;
  const auto sock = sock_.read(*memory_, *socket);
  if (!sock || !*sock) return;
  const auto protocol = protocol_.read(*memory_, *sock).value_or(0);
  const auto family = family_.read(*memory_, *sock).value_or(0);
  if ((family != kIpv4 && family != kIpv6) || (protocol != kTcp && protocol != kMultipathTcp))
    return;
  const auto port = local_port_.read(*memory_, *sock).value_or(0);
  const auto state = state_.read(*memory_, *sock).value_or(0);
  if (state == kListen) listened_.insert(port);
  if (state != kEstablished) return;
  const auto remote = remote_port_.read(*memory_, *sock).value_or(0);  // of the network's order
  connections_[pid].push_back({port, static_cast<std::uint16_t>(remote >> 8 | remote << 8)});
}

std::optional<StreamRelay> StreamRelays::of(Gva file, std::int32_t reader) const {
  const auto stream = stream_of(file);
  if (!stream) return std::nullopt;
  const auto givers = givers_.find(stream->shared);
  if (givers == givers_.end()) return std::nullopt;
  std::optional<StreamRelay> found;
  for (const auto pid : givers->second) {
    const auto connections = connections_.find(pid);
    if (pid == reader || connections == connections_.end()) continue;
    for (const auto& one : connections->second) {
      const StreamRelay relay{pid, one.local_port, one.remote_port,
                              !listened_.contains(one.local_port)};
      if (relay.outgoing) return relay;
      if (!found) found = relay;
    }
  }
  return found;
}

}  // namespace vitrine::linux
