#include <fmt/core.h>

#include <array>
#include <map>
#include <memory>
#include <optional>

#include "linux/file_twins.h"
#include "linux/kernel.h"
#include "linux/page_cache.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/tasks_row.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/views/maps_areas.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {
namespace {

using maps::Area;
using maps::AreaFinder;

enum ColumnIndex : std::size_t {
  kPid,
  kStart,
  kEnd,
  kSize,
  kPermissions,
  kOffset,
  kDevice,
  kInode,
  kPath,
  kAnonymous,
  kRwx,
  kDeleted,
  kDeviceFile,
  kCopied,
  kFlags,
  kAddress,
  kColumnCount
};

constexpr std::array<Column, kColumnCount> kColumns{{
    {"pid", ColumnType::integer, "pid of the process (task_struct.tgid)", Column::shown},
    {"start", ColumnType::address, "first address (vm_area_struct.vm_start)", Column::shown},
    {"end", ColumnType::address, "address after the last (vm_area_struct.vm_end)", Column::shown},
    {"size", ColumnType::size, "bytes", Column::shown},
    {"permissions", ColumnType::text, "r w x, and p private or s shared (vm_area_struct.vm_flags)",
     Column::shown},
    {"offset", ColumnType::address,
     "where in the file it starts, bytes; 0 without a file (vm_area_struct.vm_pgoff)",
     Column::hidden},
    {"device", ColumnType::text,
     "MAJOR:MINOR of the file's file system; 0:0 without a file (super_block.s_dev)",
     Column::hidden},
    {"inode", ColumnType::integer, "the file's inode number; 0 without a file (inode.i_ino)",
     Column::hidden},
    {"path", ColumnType::text,
     "the file, [heap], [stack], [vdso], [anon:NAME] ...; empty if anonymous "
     "(vm_area_struct.vm_file, vm_ops->name, mm_struct.brk, start_stack)",
     Column::shown},
    {"anonymous", ColumnType::boolean, "no file is mapped here (vm_area_struct.vm_file is 0)",
     Column::hidden},
    {"rwx", ColumnType::boolean, "writable and executable at once", Column::hidden},
    {"deleted", ColumnType::boolean, "the file's name is gone (dentry unhashed)", Column::hidden},
    {"device_file", ColumnType::boolean, "the file is a device, not one of bytes (inode.i_mode)",
     Column::hidden},
    {"copied", ColumnType::boolean,
     "executed from a memfd that is, byte for byte, a copy of a file that has a name: both lie in "
     "the page cache (super_block.s_inodes)",
     Column::hidden},
    {"flags", ColumnType::mask, "vm_area_struct.vm_flags as they are", Column::hidden},
    {"address", ColumnType::address, "its vm_area_struct", Column::hidden},
}};

constexpr ViewInfo kInfo{
    .name = "maps",
    .summary = "memory areas of every process, as /proc/PID/maps",
    .columns = kColumns,
    .order = "by pid, then start",
    .key = "pid start",
};

// include/linux/mm.h: the first bits have kept their places from 2.6 to 7.3.
constexpr std::uint64_t kRead = 1;
constexpr std::uint64_t kWrite = 2;
constexpr std::uint64_t kExecute = 4;
constexpr std::uint64_t kMayShare = 0x80;
constexpr std::uint32_t kKernelThreadFlag = 0x0020'0000;  // PF_KTHREAD
constexpr std::uint64_t kHasVsyscall = 2;                 // MM_CONTEXT_HAS_VSYSCALL
constexpr std::uint32_t kVsyscallNone = 2;                // vsyscall_mode NONE
constexpr std::uint16_t kTypeMask = 0170000;              // include/uapi/linux/stat.h
constexpr std::uint16_t kCharacterDevice = 0020000, kBlockDevice = 0060000;
constexpr std::size_t kMaxName = 256;  // ANON_VMA_NAME_MAX_LEN is 80

struct Fields {
  Field<Gva> mm, brk, start_brk, start_stack;
  Field<std::uint32_t> task_flags, device;
  Embedded path;
  OptionalField<Gva> user_path;  // backing_file.user_path, by its first member
  Field<Gva> inode, dentry_inode, dentry_superblock, mount_superblock;
  Field<std::uint64_t> number;
  Field<std::uint16_t> mode;
  OptionalField<Gva> vm_name;  // vm_operations_struct.name
  OptionalField<Gva> special_name;
  OptionalField<std::uint64_t> context_flags;
  Embedded anonymous_text;
  Span mm_span;

  static Outcome<Fields> open(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    bind(f.mm, "task_struct.mm");
    bind(f.task_flags, "task_struct.flags");
    bind(f.brk, "mm_struct.brk");
    bind(f.start_brk, "mm_struct.start_brk");
    bind(f.start_stack, "mm_struct.start_stack");
    bind(f.path, "file.f_path");
    bind(f.inode, "file.f_inode");
    bind(f.dentry_superblock, "dentry.d_sb");
    bind(f.mount_superblock, "vfsmount.mnt_sb");
    bind(f.user_path, "backing_file.user_path.mnt");
    bind(f.dentry_inode, "dentry.d_inode");
    bind(f.device, "inode.i_sb->s_dev");
    bind(f.number, "inode.i_ino");
    bind(f.mode, "inode.i_mode");
    bind(f.vm_name, "vm_operations_struct.name");
    bind(f.special_name, "vm_special_mapping.name");
    bind(f.context_flags, "mm_struct.context.flags");
    TRY(bind.done());
    if (const auto text = Embedded::from(types, "anon_vma_name.name")) f.anonymous_text = *text;
    f.mm_span = Span::covering(f.brk, f.start_brk, f.start_stack, f.context_flags);
    return f;
  }
};

class MapsReader final : public ViewReader {
 public:
  MapsReader(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths,
             AreaFinder areas)
      : ahead_(kernel.read_ahead()),
        memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        paths_(std::move(paths)),
        areas_(std::move(areas)) {
    const auto at = [&](std::string_view name) {
      return kernel.symbols().find(name).value_or(Gva{});
    };
    special_mapping_name_ = at("special_mapping_name");
    gate_vma_name_ = at("gate_vma_name");
    gate_ = at("gate_vma");
    gate_unknown_ = !gate_ && at("get_gate_vma");
    vsyscall_mode_ = at("vsyscall_mode");
    // Without these no memfd is a copy of anything, and each is told.
    if (auto cache = PageCache::open(kernel)) {
      cache_ = std::make_unique<PageCache>(*std::move(cache));
      if (auto twins = FileTwins::open(kernel, *cache_)) twins_ = *std::move(twins);
    }
  }

  Outcome<Tally> read(RowSink& rows) override {
    const ReadAhead::Look look(ahead_, plan_);
    Tally tally;
    paths_.forget();
    copies_.clear();
    const auto processes = tasks_.processes(rows);
    processes.note_in(tally);
    if (gate_unknown_) {
      tally.warnings.emplace_back(
          "whether programs have the page [vsyscall] is not known: this kernel has no symbol "
          "gate_vma");
    }
    for (const auto& process : processes.tasks) {
      if (!read_process(rows, process, tally)) break;
    }
    return tally;
  }

 private:
  /// @returns false  the sink wants no more rows
  bool read_process(RowSink& rows, const TaskRef& process, Tally& tally) {
    const auto stage_of = [&](ReadAhead::Stage stage) {
      return exec_retries_ == 0 ? stage : ReadAhead::Stage::anew;
    };
    const ReadAhead::In stage(ahead_, stage_of(ReadAhead::Stage::objects));
    const auto [flags, mm] = [&] {
      const ReadAhead::In first(ahead_, stage_of(ReadAhead::Stage::anchors));
      return std::pair(f_.task_flags.read(memory_, process.address),
                       f_.mm.read(memory_, process.address));
    }();
    if (!flags || !mm) {
      if (tasks_.standing(process) != TaskList::Standing::ended) ++tally.dropped;
      return true;
    }
    if (!*mm || (*flags & kKernelThreadFlag) != 0) return true;
    auto found = areas_.find(*mm);
    tally.retries += found.retries;
    const bool loaded = mm_.load(memory_, *mm).has_value();
    // exec and exit change the mm; then these areas are nobody's.
    const auto mm_now = mm_again(process.address);
    const auto standing = tasks_.standing(process);
    if (!mm_now || standing == TaskList::Standing::unreadable) {
      ++tally.dropped;
      return true;
    }
    if (*mm_now != *mm || standing == TaskList::Standing::ended) {
      return !*mm_now || standing == TaskList::Standing::ended || again(rows, process, tally);
    }
    exec_retries_ = 0;
    if (!loaded) {
      ++tally.dropped;
      return true;
    }
    tally.truncated = tally.truncated || found.truncated;
    if (found.broken) {
      tally.truncated = true;
      tally.warnings.push_back(fmt::format("the areas of {} break off after {}: {}", process.tgid,
                                           found.areas.size(), describe(*found.broken)));
    }
    if (const auto gate = gate_area(); gate) found.areas.push_back(*gate);
    for (const auto& area : found.areas) {
      rows.begin();
      rows.set(kPid, std::int64_t{process.tgid});
      fill(rows, area);
      if (found.broken) rows.doubt("changed while it was read");
      if (!rows.end()) return false;
    }
    return true;
  }

  Result<Gva> mm_again(Gva task) const {
    const ReadAhead::In stage(ahead_, ReadAhead::Stage::again);
    return f_.mm.read(memory_, task);
  }

  bool again(RowSink& rows, const TaskRef& process, Tally& tally) {
    ++tally.retries;
    if (++exec_retries_ == TaskList::kTries) {
      exec_retries_ = 0;
      ++tally.dropped;
      return true;
    }
    return read_process(rows, process, tally);
  }

  /// The page of legacy system calls, which /proc prints after the others.
  /// Source: get_gate_vma() in arch/x86/entry/vsyscall/vsyscall_64.c.
  std::optional<Area> gate_area() const {
    if (!gate_ || !vsyscall_mode_) return std::nullopt;
    const auto mode = memory_.load<std::uint32_t>(vsyscall_mode_);
    if (!mode || *mode >= kVsyscallNone) return std::nullopt;
    if (const auto flags = f_.context_flags.read(mm_); flags && *flags) {
      if ((**flags & kHasVsyscall) == 0) return std::nullopt;
    }
    auto area = areas_.read(gate_);
    if (!area || area->end <= area->start) return std::nullopt;
    return *area;
  }

  void fill(RowSink& rows, const Area& area) {
    const auto flag = [&](std::uint64_t bit, char letter) {
      return (area.flags & bit) != 0 ? letter : '-';
    };
    rows.set(kStart, area.start.value);
    rows.set(kEnd, area.end.value);
    rows.set(kSize, static_cast<std::int64_t>(area.end - area.start));
    rows.set(kPermissions, std::string{flag(kRead, 'r'), flag(kWrite, 'w'), flag(kExecute, 'x'),
                                       (area.flags & kMayShare) != 0 ? 's' : 'p'});
    rows.set(kOffset, area.file ? area.page_offset * kPageSize : std::uint64_t{0});
    rows.set(kAnonymous, !area.file);
    rows.set(kRwx, (area.flags & kWrite) != 0 && (area.flags & kExecute) != 0);
    rows.set(kFlags, area.flags);
    rows.set(kAddress, area.at.value);
    if (area.file) {
      fill_file(rows, area);
    } else {
      rows.set(kDevice, std::string("0:0"));
      rows.set(kInode, std::int64_t{0});
      rows.set(kDeleted, false);
      rows.set(kDeviceFile, false);
      rows.set(kCopied, false);
      if (!rows.wants(kPath)) return;
      if (auto name = name_of(area)) {
        rows.set(kPath, *std::move(name));
      } else {
        rows.doubt("its name cannot be read");
      }
    }
  }

  void fill_file(RowSink& rows, const Area& area) {
    auto point = paths_.point_at(f_.path.in(area.file));
    auto inode = f_.inode.read(memory_, area.file);
    const auto user = user_point(area.file);
    if (!user) {
      rows.doubt("its path cannot be read");
      return;
    }
    if (*user) {
      point = **user;
      inode = f_.dentry_inode.read(memory_, (*user)->dentry);
    }
    if (!inode || !*inode) {
      rows.doubt("its file cannot be read");
    } else {
      if (rows.wants(kDevice)) {
        if (const auto device = f_.device.read(memory_, *inode))
          rows.set(kDevice, device_text(*device));
      }
      if (rows.wants(kDeviceFile)) {
        if (const auto mode = f_.mode.read(memory_, *inode)) {
          const auto type = *mode & kTypeMask;
          rows.set(kDeviceFile, type == kCharacterDevice || type == kBlockDevice);
        }
      }
      if (rows.wants(kInode)) rows.set(kInode, integer_value(f_.number.read(memory_, *inode)));
    }
    if (!rows.wants_any(kPath, kDeleted, kCopied)) return;
    const auto text = point ? paths_.text(*point) : std::unexpected(point.error());
    if (!text) {
      rows.doubt("its path cannot be read");
      return;
    }
    rows.set(kDeleted, text->deleted);
    rows.set(kCopied, (area.flags & kExecute) != 0 && text->text.starts_with("/memfd:") &&
                          is_copy(area.file));
    const auto given = given_name(area);
    if (!given) {
      rows.doubt("its name cannot be read");
      return;
    }
    rows.set(kPath, given->empty() ? text->text : fmt::format("[anon_shmem:{}]", *given));
  }

  bool is_copy(Gva file) {
    if (!twins_) return false;
    const auto contents = cache_->of_file(file);
    if (!contents) return false;
    const auto known = copies_.find(contents->mapping);
    if (known != copies_.end()) return known->second;
    return copies_[contents->mapping] = twins_->has_twin(*contents);
  }

  /// Where overlayfs and its like map a file of theirs, /proc shows theirs, not the one
  /// beneath: backing_file.user_path, since 6.8. Whether a file is a backing_file stands
  /// in a bit of f_mode that has moved between kernels; so the path behind the file must
  /// prove itself: its entry and its mount are of one file system, another than the file's.
  Result<std::optional<PathPoint>> user_point(Gva file) const {
    constexpr std::optional<PathPoint> kNone;
    if (!f_.user_path.exists()) return kNone;
    // What lies behind a file that is no backing_file may be anything, the end of RAM too.
    const auto point = paths_.point_at(file + f_.user_path.field().offset().value_or(0));
    if (!point && point.error().code == Errc::io) return std::unexpected(point.error());
    if (!point || !is_kernel_pointer(point->mount) || !is_kernel_pointer(point->dentry))
      return kNone;
    const auto of_dentry = f_.dentry_superblock.read(memory_, point->dentry);
    const auto of_mount = f_.mount_superblock.read(memory_, point->mount);
    if (!of_dentry && of_dentry.error().code == Errc::io) return std::unexpected(of_dentry.error());
    if (!of_mount && of_mount.error().code == Errc::io) return std::unexpected(of_mount.error());
    if (!of_dentry || !of_mount || *of_dentry != *of_mount) return kNone;
    const auto own = TRY(paths_.point_at(f_.path.in(file)));
    if (TRY(f_.dentry_superblock.read(memory_, own.dentry)) == *of_dentry) return kNone;
    return std::optional(*point);
  }

  /// What prctl(PR_SET_VMA_ANON_NAME) called the area, or nothing.
  Result<std::string> given_name(const Area& area) const {
    if (!area.anonymous_name || !f_.anonymous_text.bound()) return std::string();
    return memory_.load_string(f_.anonymous_text.in(area.anonymous_name), kMaxName);
  }

  /// As show_map_vma() in fs/proc/task_mmu.c names what maps no file.
  Result<std::string> name_of(const Area& area) const {
    if (area.operations && f_.vm_name.exists()) {
      const auto namer = TRY(f_.vm_name.field().read(memory_, area.operations));
      if (namer && namer == gate_vma_name_) return "[vsyscall]";
      if (namer && namer == special_mapping_name_ && f_.special_name.exists()) {
        // [vdso], [vvar], [vvar_vclock], [uprobes] ...
        const auto name = TRY(f_.special_name.field().read(memory_, area.private_data));
        if (name) return memory_.load_string(name, kMaxName);
      }
    }
    const auto brk = f_.brk.read(mm_);
    const auto start_brk = f_.start_brk.read(mm_);
    const auto stack = f_.start_stack.read(mm_);
    if (brk && start_brk && area.start <= *brk && area.end >= *start_brk) return "[heap]";
    if (stack && area.start <= *stack && area.end >= *stack) return "[stack]";
    const auto given = TRY(given_name(area));
    return given.empty() ? std::string() : fmt::format("[anon:{}]", given);
  }

  const ReadAhead& ahead_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  PathReader paths_;
  AreaFinder areas_;
  ReadPlan plan_;
  std::unique_ptr<PageCache> cache_;
  std::optional<FileTwins> twins_;
  std::map<Gva, bool> copies_;  // of this reading, by address_space
  Gva special_mapping_name_, gate_vma_name_, gate_, vsyscall_mode_;
  bool gate_unknown_ = false;  // there is one, but kallsyms has no data
  int exec_retries_ = 0;
  Snapshot mm_{f_.mm_span};
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel.types()));
  auto paths = TRY(PathReader::open(kernel));
  auto areas = TRY(AreaFinder::open(kernel));
  return std::make_unique<MapsReader>(kernel, std::move(fields), std::move(tasks), std::move(paths),
                                      std::move(areas));
}

}  // namespace

const View maps_view(kInfo, open);

}  // namespace vitrine::linux
