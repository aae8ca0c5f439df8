#include <fmt/core.h>

#include <array>

#include "linux/kernel.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/tasks_row.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/views/stream_relays.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kPid,
  kParent,
  kName,
  kPath,
  kUid,
  kEffectiveUid,
  kInput,
  kOutput,
  kErrors,
  kSockets,
  kShell,
  kRelay,
  kRelayPort,
  kRelayOutgoing,
  kAddress
};

constexpr Column kColumns[] = {
    {"pid", ColumnType::integer, "of the process"},
    {"parent", ColumnType::integer, "its parent's pid"},
    {"name", ColumnType::text, "task_struct.comm"},
    {"path", ColumnType::text, "the running program"},
    {"uid", ColumnType::integer, "real user id"},
    {"euid", ColumnType::integer, "effective user id", Column::hidden},
    {"input", ColumnType::text,
     "descriptor 0, as readlink of /proc/PID/fd/0 has it; absent: closed"},
    {"output", ColumnType::text, "descriptor 1"},
    {"errors", ColumnType::text, "descriptor 2"},
    {"sockets", ColumnType::integer,
     "how many of the three are network sockets (IPv4, IPv6, vsock)"},
    {"shell", ColumnType::boolean,
     "the program is a shell or interpreter that takes commands, by the name of its file or of "
     "itself"},
    {"relay", ColumnType::integer,
     "who writes the pipe that is its input, or holds its terminal's master, and has a TCP "
     "connection: a pid; absent: nobody",
     Column::hidden},
    {"relay_port", ColumnType::integer, "remote port of that connection", Column::hidden},
    {"relay_outgoing", ColumnType::boolean,
     "it called out: nobody in the guest listens on its local port", Column::hidden},
    {"address", ColumnType::address, "its task_struct", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "standard_streams",
    .summary = "what each process reads its input from and writes its output to",
    .columns = kColumns,
    .order = "by pid",
    .key = "pid",
};

constexpr std::uint16_t kIpv4 = 2, kIpv6 = 10, kVsock = 40;  // AF_INET, AF_INET6, AF_VSOCK
constexpr std::string_view kShells[] = {"sh",     "bash", "dash", "ash",  "zsh",   "ksh",
                                        "mksh",   "fish", "csh",  "tcsh", "rbash", "busybox",
                                        "python", "perl", "ruby", "lua",  "php",   "node"};

bool is_shell(std::string_view path, std::string_view name) {
  const auto matches = [](std::string_view text) {
    text = text.substr(text.rfind('/') + 1);
    if (text.ends_with(" (deleted)")) text.remove_suffix(10);
    if (text.starts_with('-')) text.remove_prefix(1);
    for (const auto shell : kShells) {
      if (!text.starts_with(shell)) continue;
      // python3.11, perl5.36, php8.2
      const auto rest = text.substr(shell.size());
      if (rest.find_first_not_of("0123456789.-") == std::string_view::npos) return true;
    }
    return false;
  };
  return matches(path) || matches(name);
}

struct Fields {
  Field<Gva> files, fdt, table, mm, exe_file, operations, private_data, sock, parent;
  Field<std::uint32_t> most;
  Field<std::string> comm;
  Field<std::uint32_t> uid, effective_uid;
  Field<std::int32_t> tgid;
  Field<std::uint16_t> family;
  Embedded path;

  static Outcome<Fields> open(const TypeCatalogue& types, bool sockets) {
    Fields f;
    FieldBinder bind(types);
    bind(f.comm, "task_struct.comm");
    bind(f.tgid, "task_struct.tgid");
    bind(f.files, "task_struct.files");
    bind(f.parent, "task_struct.real_parent");
    bind(f.uid, "task_struct.real_cred->uid.val");
    bind(f.effective_uid, "task_struct.cred->euid.val");
    bind(f.mm, "task_struct.mm");
    bind(f.exe_file, "mm_struct.exe_file");
    bind(f.fdt, "files_struct.fdt");
    bind(f.table, "fdtable.fd");
    bind(f.most, "fdtable.max_fds");
    bind(f.path, "file.f_path");
    bind(f.operations, "file.f_op");
    bind(f.private_data, "file.private_data");
    TRY(bind.done());
    // A kernel without networks has no such files either.
    FieldBinder network(types);
    network(f.sock, "socket.sk");
    network(f.family, "sock.__sk_common.skc_family");
    if (sockets) TRY(network.done());
    return f;
  }
};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths,
         Outcome<StreamRelays> relays)
      : memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        paths_(std::move(paths)),
        relays_(std::move(relays)),
        socket_operations_(kernel.symbols().find("socket_file_ops").value_or(Gva{})) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    paths_.forget();
    gathered_ = false;
    all_gathered_ = true;
    const auto processes = tasks_.processes(rows);
    processes.note_in(tally);
    for (const auto& process : processes.tasks) {
      const auto mm = f_.mm.read(memory_, process.address);
      const auto files = f_.files.read(memory_, process.address);
      if (!mm || !*mm || !files || !*files) continue;  // a kernel thread, or one that ended
      rows.begin();
      fill(rows, process, *mm, *files);
      if (!tasks_.still(process)) continue;
      if (!rows.end()) break;
    }
    if (!all_gathered_) {
      tally.truncated = true;
      tally.warnings.emplace_back(
          "more descriptors are open than are looked at: a relay may be missing");
    }
    return tally;
  }

  [[nodiscard]] std::vector<MissingColumns> missing_columns() const override {
    if (relays_) return {};
    return {{{"relay", "relay_port", "relay_outgoing"}, relays_.error().message}};
  }

 private:
  void fill(RowSink& rows, const TaskRef& process, Gva mm, Gva files) {
    rows.set(kPid, std::int64_t{process.tgid});
    rows.set(kUid, integer_value(f_.uid.read(memory_, process.address)));
    rows.set(kEffectiveUid, integer_value(f_.effective_uid.read(memory_, process.address)));
    if (const auto parent = f_.parent.read(memory_, process.address))
      rows.set(kParent, integer_value(f_.tgid.read(memory_, *parent)));
    rows.set(kAddress, process.address.value);
    const auto name = f_.comm.read(memory_, process.address).value_or("");
    rows.set(kName, name);
    const auto program = f_.exe_file.read(memory_, mm);
    const auto path = program && *program ? path_of(*program) : std::string();
    if (!path.empty()) rows.set(kPath, path);
    const bool shell = is_shell(path, name);
    rows.set(kShell, shell);
    std::int64_t sockets = 0;
    const auto fdt = f_.fdt.read(memory_, files);
    if (!fdt) return rows.doubt("its descriptors cannot be read");
    const auto most = f_.most.read(memory_, *fdt).value_or(0);
    const auto table = f_.table.read(memory_, *fdt);
    for (std::size_t fd = 0; table && fd < 3 && fd < most; ++fd) {
      const auto file = memory_.load<Gva>(*table + fd * 8);
      if (!file || !*file) continue;
      rows.set(kInput + fd, path_of(*file));
      if (fd == 0 && shell) fill_relay(rows, *file, process.tgid);
      sockets += is_network(*file) ? 1 : 0;
    }
    rows.set(kSockets, sockets);
  }

  /// Who holds the other end may be any process: all are looked at, once, and only for shells.
  void fill_relay(RowSink& rows, Gva input, std::int32_t reader) {
    if (!relays_ || !rows.wants_any(kRelay, kRelayPort, kRelayOutgoing) ||
        !relays_->is_stream(input))
      return;
    if (!gathered_) all_gathered_ = relays_->gather(tasks_.processes().tasks);
    gathered_ = true;
    const auto relay = relays_->of(input, reader);
    if (!relay) return;
    rows.set(kRelay, std::int64_t{relay->pid});
    rows.set(kRelayPort, std::int64_t{relay->remote_port});
    rows.set(kRelayOutgoing, relay->outgoing);
  }

  [[nodiscard]] std::string path_of(Gva file) {
    const auto point = paths_.point_at(f_.path.in(file));
    if (!point) return {};
    auto text = paths_.text(*point);
    return text ? std::move(text->text) : std::string();
  }

  [[nodiscard]] bool is_network(Gva file) const {
    if (!socket_operations_ ||
        f_.operations.read(memory_, file).value_or(Gva{}) != socket_operations_)
      return false;
    const auto socket = f_.private_data.read(memory_, file);
    if (!socket || !*socket) return false;
    const auto sock = f_.sock.read(memory_, *socket);
    if (!sock || !*sock) return false;
    const auto family = f_.family.read(memory_, *sock).value_or(0);
    return family == kIpv4 || family == kIpv6 || family == kVsock;
  }

  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  PathReader paths_;
  Outcome<StreamRelays> relays_;
  bool gathered_ = false, all_gathered_ = true;
  Gva socket_operations_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  const bool sockets = kernel.symbols().find("socket_file_ops").has_value();
  auto fields = TRY(Fields::open(kernel.types(), sockets));
  auto paths = TRY(PathReader::open(kernel));
  return std::make_unique<Reader>(kernel, std::move(fields), std::move(tasks), std::move(paths),
                                  StreamRelays::open(kernel));
}

}  // namespace

const View standard_streams_view(kInfo, open);

}  // namespace vitrine::linux
