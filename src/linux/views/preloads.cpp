#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/page_cache.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/tasks_memory.h"
#include "linux/tasks_row.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/views/loader_files.h"
#include "linux/walk/list.h"
#include "memory/read_ahead.h"

namespace vitrine::linux {
namespace {

enum : std::size_t { kPid, kName, kBy, kValue, kEverywhere, kAddress };

constexpr Column kColumns[] = {
    {"pid", ColumnType::integer,
     "the process whose loader is told so; of a file, the first that has it in its root"},
    {"name", ColumnType::text, "task_struct.comm"},
    {"by", ColumnType::text,
     "/etc/ld.so.preload, LD_PRELOAD or LD_AUDIT; or a loader of glibc's in whose file the first "
     "of "
     "these names does not stand"},
    {"value", ColumnType::text,
     "the libraries, as they are written there; of a file that the kernel does not hold: absent"},
    {"everywhere", ColumnType::boolean,
     "it is the file, or the loader: every program of that root loads them"},
    {"address", ColumnType::address, "the task_struct, or the file's dentry", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "preloads",
    .summary = "libraries that the dynamic loader is told to put before all others",
    .columns = kColumns,
    .order = "files first, then loaders, then by pid",
    .key = "by pid",
};

constexpr std::size_t kMaxEntries = 1U << 18;  // of all directories together, a reading
constexpr std::uint64_t kMaxFile = 4096;

struct Fields {
  Field<Gva> mm, fs, inode;
  Field<std::string> comm;
  Field<std::uint32_t> flags;
  Field<Gva> mapping;
  Field<std::int64_t> size;

  static Outcome<Fields> open(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    bind(f.mm, "task_struct.mm");
    bind(f.fs, "task_struct.fs");
    bind(f.comm, "task_struct.comm");
    bind(f.flags, "task_struct.flags");
    bind(f.inode, "dentry.d_inode");
    bind(f.mapping, "inode.i_mapping");
    bind(f.size, "inode.i_size");
    TRY(bind.done());
    return f;
  }
};

constexpr std::uint32_t kKernelThreadFlag = 0x0020'0000;  // PF_KTHREAD

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths,
         MemoryFields memory_fields, Outcome<LoaderFiles> loaders)
      : kernel_(kernel),
        memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        paths_(std::move(paths)),
        mm_fields_(std::move(memory_fields)),
        of_(kernel.types()),
        loaders_(std::move(loaders)) {
    if (auto cache = PageCache::open(kernel)) cache_ = *std::move(cache);
  }

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    left_ = kMaxEntries;
    paths_.forget();
    const auto processes = tasks_.processes(rows);
    processes.note_in(tally);
    std::set<std::uint64_t> roots;
    for (const auto& process : processes.tasks) {
      const auto fs = f_.fs.read(memory_, process.address);
      if (!fs || !is_kernel_pointer(*fs)) continue;
      const auto root = paths_.root_of(*fs);
      if (!root || !*root || !roots.insert(root->dentry.value).second) continue;
      if (!file_of(rows, tally, process, root->dentry)) return tally;
    }
    if (!loader_rows(rows, tally, processes.tasks)) return tally;
    for (const auto& process : processes.tasks)
      if (!environment_of(rows, process)) break;
    return tally;
  }

 private:
  /// The entry of that name that the kernel holds in memory; loaders look for theirs at each exec.
  std::optional<Gva> child(Tally& tally, Gva directory, std::string_view name) {
    std::optional<Gva> found;
    const auto match = [&](Gva entry) {
      if (const auto own = paths_.name_of(entry); own && *own == name) found = entry;
      return !found;
    };
    // Since 6.8 (commit da549bdd15c2) an hlist.
    if (const auto children = of_.find("dentry.d_children"), link = of_.find("dentry.d_sib");
        children && link) {
      const auto walked = walk_hlist(memory_, directory + *children, left_,
                                     [&](Gva node) { return match(node - *link); });
      left_ -= std::min(left_, walked.visited);
      tally.truncated |= walked.truncated;
    } else if (const auto list = of_.find("dentry.d_subdirs"), own = of_.find("dentry.d_child");
               list && own) {
      const auto walked = walk_list(memory_, directory + *list, left_,
                                    [&](Gva node) { return match(node - *own); });
      left_ -= std::min(left_, walked.visited);
      tally.truncated |= walked.truncated;
    }
    return found;
  }

  bool file_of(RowSink& rows, Tally& tally, const TaskRef& process, Gva root) {
    const auto folder = child(tally, root, "etc");
    if (!folder) return true;
    const auto entry = child(tally, *folder, "ld.so.preload");
    if (!entry) return true;
    // Without an inode it says that there is no such file.
    const auto inode = f_.inode.read(memory_, *entry);
    if (!inode || !is_kernel_pointer(*inode)) return true;
    const auto size = f_.size.read(memory_, *inode).value_or(0);
    if (size <= 0) return true;
    rows.begin();
    rows.set(kPid, std::int64_t{process.tgid});
    if (auto name = f_.comm.read(memory_, process.address)) rows.set(kName, *std::move(name));
    rows.set(kBy, std::string("/etc/ld.so.preload"));
    rows.set(kEverywhere, true);
    rows.set(kAddress, entry->value);
    if (auto text = contents(*inode, static_cast<std::uint64_t>(size)))
      rows.set(kValue, *std::move(text));
    return rows.end();
  }

  /// @returns false  no more rows are wanted
  bool loader_rows(RowSink& rows, Tally& tally, const std::vector<TaskRef>& processes) {
    if (!loaders_) {
      tally.warnings.push_back(
          fmt::format("loaders are not looked at: {}", loaders_.error().message));
      return true;
    }
    loaders_->forget();
    for (const auto& process : processes) {
      const auto mm = f_.mm.read(memory_, process.address);
      if (!mm || !is_kernel_pointer(*mm)) continue;
      auto loader = loaders_->altered(*mm);
      if (!loader) continue;
      rows.begin();
      rows.set(kPid, std::int64_t{process.tgid});
      if (auto name = f_.comm.read(memory_, process.address)) rows.set(kName, *std::move(name));
      rows.set(kBy, std::move(loader->path));
      rows.set(kValue, std::string("of another file than /etc/ld.so.preload"));
      rows.set(kEverywhere, true);
      rows.set(kAddress, loader->file.value);
      if (!rows.end()) return false;
    }
    return true;
  }

  [[nodiscard]] std::optional<std::string> contents(Gva inode, std::uint64_t size) const {
    const auto mapping = f_.mapping.read(memory_, inode);
    if (!cache_ || !mapping || !is_kernel_pointer(*mapping)) return std::nullopt;
    std::string text(std::min(size, kMaxFile), '\0');
    const PageCache::Contents file{*mapping, inode, size};
    if (!cache_->read(file, 0, std::as_writable_bytes(std::span(text)))) return std::nullopt;
    std::ranges::replace(text, '\n', ' ');
    while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.pop_back();
    return text;
  }

  /// @returns false  no more rows are wanted
  bool environment_of(RowSink& rows, const TaskRef& process) {
    const auto mm = f_.mm.read(memory_, process.address);
    const auto flags = f_.flags.read(memory_, process.address).value_or(0);
    if (!mm || !is_kernel_pointer(*mm) || (flags & kKernelThreadFlag) != 0) return true;
    Snapshot copy(mm_fields_.span());
    const auto root = kernel_.user_root(*mm);
    if (!root || !copy.load(memory_, *mm)) return true;
    const x86::AddressSpace user(kernel_.read_ahead(), *root);
    const auto environment = mm_fields_.environment(user, copy);
    if (!environment) return true;
    for (const auto& one : split_strings(environment->bytes)) {
      for (const std::string_view variable : {"LD_PRELOAD", "LD_AUDIT"}) {
        if (!one.starts_with(variable) || one.size() <= variable.size() + 1 ||
            one[variable.size()] != '=')
          continue;
        rows.begin();
        rows.set(kPid, std::int64_t{process.tgid});
        if (auto name = f_.comm.read(memory_, process.address)) rows.set(kName, *std::move(name));
        rows.set(kBy, std::string(variable));
        rows.set(kValue, one.substr(variable.size() + 1));
        rows.set(kEverywhere, false);
        rows.set(kAddress, process.address.value);
        if (!rows.end()) return false;
      }
    }
    return true;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  PathReader paths_;
  MemoryFields mm_fields_;
  Offsets of_;
  std::size_t left_ = kMaxEntries;
  std::optional<PageCache> cache_;
  Outcome<LoaderFiles> loaders_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel.types()));
  auto paths = TRY(PathReader::open(kernel));
  auto memory = TRY(MemoryFields::open(kernel));
  return std::make_unique<Reader>(kernel, std::move(fields), std::move(tasks), std::move(paths),
                                  std::move(memory), LoaderFiles::open(kernel));
}

}  // namespace

const View preloads_view(kInfo, open);

}  // namespace vitrine::linux
