#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "linux/kernel.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/tasks_row.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {
namespace {

enum ColumnIndex : std::size_t {
  kPid,
  kName,
  kFd,
  kType,
  kAccess,
  kPath,
  kPosition,
  kSize,
  kDevice,
  kRdev,
  kInode,
  kDeleted,
  kCloseOnExec,
  kFlags,
  kMountId,
  kAddress,
  kColumnCount
};

constexpr std::array<Column, kColumnCount> kColumns{{
    {"pid", ColumnType::integer, "pid of the process (task_struct.tgid)", Column::shown},
    {"name", ColumnType::text, "name of the process (task_struct.comm)", Column::shown},
    {"fd", ColumnType::integer, "descriptor (index in files_struct.fdt->fd)", Column::shown},
    {"type", ColumnType::text,
     "regular, directory, character, block, pipe, socket, symlink, memfd, or anon:KIND of an "
     "anonymous inode (inode.i_mode, the name)",
     Column::shown},
    {"access", ColumnType::text, "r, w, rw, or path for O_PATH (file.f_flags)", Column::shown},
    {"path", ColumnType::text,
     "what readlink of /proc/PID/fd/N says: a path, socket:[INODE], anon_inode:[KIND] ... "
     "(file.f_path)",
     Column::shown},
    {"position", ColumnType::integer, "offset of the next read or write, bytes (file.f_pos)",
     Column::hidden},
    {"size", ColumnType::size, "bytes, of regular files, directories and symlinks (inode.i_size)",
     Column::shown},
    {"device", ColumnType::text, "MAJOR:MINOR of its file system (super_block.s_dev)",
     Column::hidden},
    {"rdev", ColumnType::text,
     "MAJOR:MINOR that a character or block device stands for (inode.i_rdev)", Column::hidden},
    {"inode", ColumnType::integer, "inode number (inode.i_ino)", Column::hidden},
    {"deleted", ColumnType::boolean, "its name is gone (dentry unhashed)", Column::hidden},
    {"close_on_exec", ColumnType::boolean, "closed at exec (fdtable.close_on_exec)",
     Column::hidden},
    {"flags", ColumnType::text,
     "open flags in octal, as /proc/PID/fdinfo prints them (file.f_flags, close_on_exec)",
     Column::hidden},
    {"mount_id", ColumnType::integer, "mount it was opened on (mount.mnt_id): mounts.mount_id",
     Column::hidden},
    {"address", ColumnType::address, "its struct file", Column::hidden},
}};

constexpr ViewInfo kInfo{
    .name = "files",
    .summary = "open files of every process",
    .columns = kColumns,
    .order = "by pid, then fd",
    .key = "pid fd",
};

// include/uapi/asm-generic/fcntl.h, as on x86.
constexpr std::uint32_t kAccessMode = 3;
constexpr std::uint32_t kWriteOnly = 1;
constexpr std::uint32_t kReadWrite = 2;
constexpr std::uint32_t kCloseOnExecFlag = 02000000;  // O_CLOEXEC
constexpr std::uint32_t kPathOnly = 010000000;        // O_PATH
/// fs.nr_open is 1048576 where nobody raised it.
constexpr std::uint32_t kMaxDescriptors = 4u << 20;

struct Fields {
  Field<std::string> comm;
  Field<Gva> files, fdt, fd_array, open_fds, close_on_exec;
  Field<std::uint32_t> max_fds;
  // struct file
  Embedded path;
  Field<Gva> inode;
  Field<std::uint32_t> flags;
  Field<std::int64_t> position;
  // struct inode
  Field<std::uint16_t> mode;
  Field<std::uint32_t> rdev, device;
  Field<std::uint64_t> number;
  Field<std::int64_t> size;
  // struct mount
  Embedded mount_mnt;
  Field<std::int32_t> mount_id;
  Span table, file, node;

  static Outcome<Fields> open(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    bind(f.comm, "task_struct.comm");
    bind(f.files, "task_struct.files");
    bind(f.fdt, "files_struct.fdt");
    bind(f.max_fds, "fdtable.max_fds");
    bind(f.fd_array, "fdtable.fd");
    bind(f.open_fds, "fdtable.open_fds");
    bind(f.close_on_exec, "fdtable.close_on_exec");
    bind(f.path, "file.f_path");
    bind(f.inode, "file.f_inode");
    bind(f.flags, "file.f_flags");
    bind(f.position, "file.f_pos");
    bind(f.mode, "inode.i_mode");
    bind(f.rdev, "inode.i_rdev");
    bind(f.device, "inode.i_sb->s_dev");
    bind(f.number, "inode.i_ino");
    bind(f.size, "inode.i_size");
    bind(f.mount_mnt, "mount.mnt");
    bind(f.mount_id, "mount.mnt_id");
    TRY(bind.done());
    f.table = Span::covering(f.max_fds, f.fd_array, f.open_fds, f.close_on_exec);
    f.file = Span::covering(f.inode, f.flags, f.position)
                 .joined({static_cast<std::uint32_t>(f.path.offset().value_or(0)),
                          static_cast<std::uint32_t>(f.path.size())});
    f.node = Span::covering(f.mode, f.rdev, f.device, f.number, f.size);
    return f;
  }
};

std::string_view type_of_mode(std::uint16_t mode) {
  switch (mode >> 12) {
    case 1:
      return "pipe";
    case 2:
      return "character";
    case 4:
      return "directory";
    case 6:
      return "block";
    case 8:
      return "regular";
    case 10:
      return "symlink";
    case 12:
      return "socket";
    default:
      return "unknown";
  }
}

/// "anon:eventfd" of "anon_inode:[eventfd]", "anon:inotify" of "anon_inode:inotify".
std::string anonymous_type(std::string_view path) {
  auto kind = path.substr(std::string_view("anon_inode:").size());
  if (kind.starts_with('[') && kind.ends_with(']')) kind = kind.substr(1, kind.size() - 2);
  return fmt::format("anon:{}", kind);
}

class FilesReader final : public ViewReader {
 public:
  FilesReader(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths)
      : ahead_(kernel.read_ahead()),
        memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        paths_(std::move(paths)) {}

  Outcome<Tally> read(RowSink& rows) override {
    const ReadAhead::Look look(ahead_, plan_);
    Tally tally;
    paths_.forget();
    const auto processes = tasks_.processes(rows);
    processes.note_in(tally);
    for (const auto& process : processes.tasks) {
      if (!read_process(rows, process, tally)) break;
    }
    return tally;
  }

 private:
  struct Table {
    Gva task_files, at;
    std::vector<std::uint64_t> open, close_on_exec;
    Gva files;  // struct file*[]
    bool operator==(const Table&) const = default;
  };

  Result<Table> table_of(const TaskRef& process, ReadAhead::Stage of) {
    const ReadAhead::In stage(ahead_, of);
    Table table;
    table.task_files = TRY(f_.files.read(memory_, process.address));
    if (!table.task_files) return table;  // ended, or a zombie
    table.at = TRY(f_.fdt.read(memory_, table.task_files));
    TRY(table_.load(memory_, table.at));
    const auto most = TRY(f_.max_fds.read(table_));
    if (most > kMaxDescriptors || most % 64 != 0) {
      return fail(Errc::implausible, table.at.value, "fdtable.max_fds");
    }
    table.files = TRY(f_.fd_array.read(table_));
    const auto bitmap = [&](const Field<Gva>& field) -> Result<std::vector<std::uint64_t>> {
      std::vector<std::uint64_t> words(most / 64);
      const Gva bits = TRY(field.read(table_));
      TRY(memory_.read(bits, std::as_writable_bytes(std::span(words))));
      return words;
    };
    table.open = TRY(bitmap(f_.open_fds));
    table.close_on_exec = TRY(bitmap(f_.close_on_exec));
    return table;
  }

  /// @returns false  the sink wants no more rows
  bool read_process(RowSink& rows, const TaskRef& process, Tally& tally) {
    auto table = table_of(process, ReadAhead::Stage::anchors);
    // A table that is being grown is left for another: look again.
    for (int attempt = 1; !table && attempt < TaskList::kTries; ++attempt) {
      if (tasks_.standing(process) == TaskList::Standing::ended) return true;
      ++tally.retries;
      table = table_of(process, ReadAhead::Stage::anew);
    }
    if (!table) {
      if (tasks_.standing(process) == TaskList::Standing::ended) return true;
      ++tally.dropped;
      tally.warnings.push_back(fmt::format("the descriptors of {} cannot be read: {}", process.tgid,
                                           describe(table.error())));
      return true;
    }
    if (!table->task_files) return true;
    const auto standing = tasks_.standing(process);
    if (standing == TaskList::Standing::unreadable) {
      ++tally.dropped;
      tally.warnings.push_back(
          fmt::format("whether {} is still there cannot be read", process.tgid));
    }
    if (standing != TaskList::Standing::listed) return true;
    name_ = text_value(f_.comm.read(memory_, process.address));
    for (std::size_t word = 0; word < table->open.size(); ++word) {
      if (table->open[word] == 0) continue;
      std::array<Gva, 64> files{};
      const Gva from = table->files + word * sizeof files;
      const auto done = [&] {
        const ReadAhead::In stage(ahead_, ReadAhead::Stage::anchors);
        return memory_.read(from, std::as_writable_bytes(std::span(files)));
      }();
      if (!done) {
        tally.dropped += static_cast<std::size_t>(std::popcount(table->open[word]));
        tally.warnings.push_back(fmt::format("descriptors of {} cannot be read: {}", process.tgid,
                                             describe(done.error())));
        continue;
      }
      for (auto bits = table->open[word]; bits != 0; bits &= bits - 1) {
        const auto bit = static_cast<unsigned>(std::countr_zero(bits));
        if (!files[bit]) continue;  // reserved by an open() that is under way
        const auto fd = static_cast<std::int64_t>(word * 64 + bit);
        const bool closes = (table->close_on_exec[word] >> bit & 1) != 0;
        if (!read_row(rows, process, fd, files[bit], from + bit * 8, closes, tally)) continue;
        if (!rows.end()) return false;
      }
    }
    return true;
  }

  /// @returns false  no row: it was closed, or cannot be read
  bool read_row(RowSink& rows, const TaskRef& process, std::int64_t fd, Gva file, Gva slot,
                bool closes, Tally& tally) {
    for (int attempt = 1;; ++attempt) {
      const ReadAhead::In stage(ahead_,
                                attempt == 1 ? ReadAhead::Stage::objects : ReadAhead::Stage::anew);
      const bool read = is_kernel_pointer(file) && file_.load(memory_, file).has_value();
      if (read) {
        rows.begin();
        rows.set(kPid, std::int64_t{process.tgid});
        rows.set(kName, name_);
        rows.set(kFd, fd);
        rows.set(kCloseOnExec, closes);
        rows.set(kAddress, file.value);
        fill(rows, closes);
      }
      // Still that file in that slot? A file that is closed may become another at once.
      const auto now = slot_again(slot);
      if (read && now && *now == file) return true;
      if (now && !*now) return false;
      if (attempt == TaskList::kTries || !now || *now == file) {
        if (!read) {
          ++tally.dropped;
          return false;
        }
        rows.doubt("changed while it was read");
        return true;
      }
      file = *now;
      ++tally.retries;
    }
  }

  Result<Gva> slot_again(Gva slot) const {
    const ReadAhead::In stage(ahead_, ReadAhead::Stage::again);
    return memory_.load<Gva>(slot);
  }

  void fill(RowSink& rows, bool closes) {
    if (const auto flags = f_.flags.read(file_)) {
      const auto told = (*flags & ~kCloseOnExecFlag) | (closes ? kCloseOnExecFlag : 0);
      rows.set(kFlags, fmt::format("0{:o}", told));
      const auto mode = *flags & kAccessMode;
      rows.set(kAccess, std::string((*flags & kPathOnly) != 0 ? "path"
                                    : mode == kReadWrite      ? "rw"
                                    : mode == kWriteOnly      ? "w"
                                                              : "r"));
    }
    rows.set(kPosition, integer_value(f_.position.read(file_)));
    const auto point = paths_.point_at(f_.path.in(file_.object()));
    std::optional<PathText> path;
    if (rows.wants_any(kPath, kDeleted, kType) && point) {
      if (auto text = paths_.text(*point)) path = *std::move(text);
    }
    if (path) {
      rows.set(kPath, path->text);
      rows.set(kDeleted, path->deleted);
    } else if (rows.wants_any(kPath, kDeleted, kType)) {
      rows.doubt("its path cannot be read");
    }
    if (point && rows.wants(kMountId)) {
      const Gva mount = point->mount - f_.mount_mnt.offset().value_or(0);
      rows.set(kMountId, integer_value(f_.mount_id.read(memory_, mount)));
    }
    if (rows.wants_any(kType, kSize, kDevice, kRdev, kInode)) fill_inode(rows, path);
  }

  void fill_inode(RowSink& rows, const std::optional<PathText>& path) {
    const auto inode = f_.inode.read(file_);
    if (!inode || !is_kernel_pointer(*inode) || !node_.load(memory_, *inode)) {
      rows.doubt("its inode cannot be read");
      return;
    }
    rows.set(kInode, integer_value(f_.number.read(node_)));
    if (const auto device = f_.device.read(memory_, node_)) rows.set(kDevice, device_text(*device));
    const auto mode = f_.mode.read(node_);
    if (!mode) return;
    const auto kind = type_of_mode(*mode);
    if (kind == "character" || kind == "block") {
      if (const auto rdev = f_.rdev.read(node_)) rows.set(kRdev, device_text(*rdev));
    }
    // Anonymous inodes have had no type in their mode up to 6.16, and are regular since.
    if (path && path->text.starts_with("anon_inode:")) {
      rows.set(kType, anonymous_type(path->text));
      return;
    }
    if (kind == "regular" || kind == "directory" || kind == "symlink") {
      rows.set(kSize, integer_value(f_.size.read(node_)));
    }
    const bool memfd = path && path->deleted && path->text.starts_with("/memfd:");
    rows.set(kType, std::string(memfd ? "memfd" : kind));
  }

  const ReadAhead& ahead_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  PathReader paths_;
  ReadPlan plan_;
  Value name_;
  Snapshot table_{f_.table}, file_{f_.file}, node_{f_.node};
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel.types()));
  auto paths = TRY(PathReader::open(kernel));
  return std::make_unique<FilesReader>(kernel, std::move(fields), std::move(tasks),
                                       std::move(paths));
}

}  // namespace

const View files_view(kInfo, open);

}  // namespace vitrine::linux
