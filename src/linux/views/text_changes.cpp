#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/page_cache.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/views/maps_areas.h"
#include "linux/walk/rb_tree.h"
#include "x86/paging.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kPid,
  kName,
  kPath,
  kStart,
  kOffset,
  kChanged,
  kMemory,
  kFile,
  kUprobe,
  kDebugger
};

constexpr Column kColumns[] = {
    {"pid", ColumnType::integer, "of the process"},
    {"name", ColumnType::text, "of the process (task_struct.comm)"},
    {"path", ColumnType::text, "the file whose text it is"},
    {"address", ColumnType::address, "of the first byte that differs"},
    {"offset", ColumnType::address, "of that byte in the file"},
    {"changed", ColumnType::integer, "bytes that differ in this page"},
    {"bytes", ColumnType::text, "16 bytes as they stand in the process, in hexadecimal"},
    {"file_bytes", ColumnType::text, "the same of the file in the page cache"},
    {"uprobe", ColumnType::boolean,
     "what differs is a probe that the kernel itself keeps there (uprobes_tree)"},
    {"debugger", ColumnType::boolean,
     "what differs are breakpoints (int3), and the process is being traced (task_struct.ptrace)"},
};

constexpr ViewInfo kInfo = {
    .name = "text_changes",
    .summary =
        "pages of program text that a process has changed for itself: against the file in the page "
        "cache",
    .columns = kColumns,
    .order = "by pid, then address",
    .key = "pid address",
};

constexpr std::size_t kMaxPages = 1U << 22;   // looked at in one reading
constexpr std::size_t kMaxTables = 1U << 14;  // of one process's page tables
constexpr std::uint64_t kExecute = 4;
constexpr std::byte kInt3{0xcc};
constexpr std::size_t kShownBytes = 16;
constexpr std::uint64_t kProbeBytes = 5;  // a call, where uprobes are optimised

struct Fields {
  Field<Gva> mm, inode;
  Field<std::string> comm;
  Field<std::uint32_t> ptrace;
  Embedded path;
  std::uint64_t page_mapping = 0, page_head = 0, page_size = 0;

  static Outcome<Fields> open(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    bind(f.mm, "task_struct.mm");
    bind(f.comm, "task_struct.comm");
    bind(f.ptrace, "task_struct.ptrace");
    bind(f.path, "file.f_path");
    bind(f.inode, "file.f_inode");
    TRY(bind.done());
    Offsets of(types);
    const auto mapping = of.find("page.mapping"), of_folio = of.find("folio.mapping");
    if (!mapping && !of_folio)
      return std::unexpected(Problem(Errc::not_found, "this kernel has no page.mapping"));
    f.page_mapping = mapping ? *mapping : *of_folio;
    const auto head = of.find("page.compound_head"), info = of.find("page.compound_info");
    if (!head && !info)
      return std::unexpected(Problem(Errc::not_found, "this kernel has no page.compound_head"));
    f.page_head = head ? *head : *info;
    f.page_size = of.need_size("page");
    if (of.missing()) return std::unexpected(*of.missing());
    return f;
  }
};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths,
         maps::AreaFinder areas, PageCache cache)
      : kernel_(kernel),
        memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        paths_(std::move(paths)),
        areas_(std::move(areas)),
        cache_(std::move(cache)) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    paths_.forget();
    files_own_.clear();
    pages_ = 0;
    read_uprobes(tally);
    const auto processes = tasks_.processes(rows);
    processes.note_in(tally);
    for (const auto& process : processes.tasks) {
      const auto mm = f_.mm.read(memory_, process.address);
      if (!mm || !*mm) continue;
      const auto root = kernel_.user_root(*mm);
      if (!root) continue;
      const auto areas = areas_.find(*mm);
      bool go_on = true;
      for (const auto& area : areas.areas) {
        if ((area.flags & kExecute) == 0 || !area.file || area.end <= area.start) continue;
        go_on = area_of(rows, process, *mm, *root, area, tally);
        if (!go_on) break;
      }
      if (!go_on) break;
    }
    return tally;
  }

 private:
  struct Probe {
    Gva inode;
    std::uint64_t offset;
    auto operator<=>(const Probe&) const = default;
  };

  /// Does a probe lie at that place, or end behind it?
  [[nodiscard]] bool is_probed(const Probe& place) const {
    const auto after = std::ranges::upper_bound(probes_, place);
    if (after == probes_.begin()) return false;
    const auto& before = *std::prev(after);
    return before.inode == place.inode && place.offset - before.offset < kProbeBytes;
  }

  [[nodiscard]] std::uint64_t word(Gva at) const {
    return memory_.load<std::uint64_t>(at).value_or(0);
  }

  void read_uprobes(Tally& tally) {
    probes_.clear();
    const Offsets of(kernel_.types());
    const auto tree = kernel_.symbols().find("uprobes_tree");
    const auto node_in = of.find("uprobe.rb_node"), inode = of.find("uprobe.inode"),
               offset = of.find("uprobe.offset");
    if (!tree || !node_in || !inode || !offset) return;
    const auto walked = walk_rb_tree(memory_, *tree, kMaxPages, [&](Gva node) {
      const Gva probe = node - *node_in;
      probes_.push_back({Gva{word(probe + *inode)}, word(probe + *offset)});
      return true;
    });
    tally.truncated |= walked.truncated;
    std::ranges::sort(probes_);
  }

  bool area_of(RowSink& rows, const TaskRef& process, Gva mm, x86::PageRoot root,
               const maps::Area& area, Tally& tally) {
    bool go_on = true;
    const auto walked = x86::for_each_mapping(
        kernel_.ram(), root, area.start, area.end, kMaxTables, [&](const x86::Mapping& mapping) {
          const Gva from = std::max(mapping.start, area.start);
          const Gva to = std::min(mapping.start + mapping.size, area.end);
          for (Gva at = from; at < to && go_on; at += kPageSize) {
            if (++pages_ > kMaxPages) {
              tally.truncated = true;
              return false;
            }
            const Gpa frame = mapping.first.address + (at - mapping.start);
            go_on = page(rows, process, mm, area, at, frame);
          }
          return go_on;
        });
    if (!walked) tally.truncated = true;
    return go_on;
  }

  [[nodiscard]] Gva struct_page(Gpa frame) const {
    return kernel_.identity().vmemmap + frame.value / kPageSize * f_.page_size;
  }

  /// A tail page knows its head: by its address, or (7.x, compound_info) by the mask that leads to
  /// it.
  [[nodiscard]] Gva head_of(Gva page, std::uint64_t info) const {
    if ((info & 1) == 0) return page;
    const Gva head{info - 1};
    return head >= kernel_.identity().vmemmap && head <= page ? head : Gva{page.value & info};
  }

  bool page(RowSink& rows, const TaskRef& process, Gva mm, const maps::Area& area, Gva at,
            Gpa frame) {
    const auto number = frame.value / kPageSize;
    if (files_own_.contains(number)) return true;
    Gva page = struct_page(frame);
    if (const auto head = memory_.load<std::uint64_t>(page + f_.page_head))
      page = head_of(page, *head);
    const auto mapping = memory_.load<std::uint64_t>(page + f_.page_mapping);
    if (!mapping) return true;
    if ((*mapping & 1) == 0) {  // PAGE_MAPPING_ANON: a copy of one's own
      files_own_.insert(number);
      return true;
    }
    const auto index = area.page_offset + (at - area.start) / kPageSize;
    const auto contents = cache_.of_file(area.file);
    if (!contents) return true;
    const auto kept = cache_.page(*contents, index);
    if (!kept) return true;  // the file's own page is not in memory: nothing to compare with
    std::array<std::byte, kPageSize> here, there;
    if (!kernel_.ram().read(frame, here) || !kernel_.ram().read(*kept, there)) return true;
    const auto [first, ignored] = std::ranges::mismatch(here, there);
    if (first == here.end()) return true;
    return tell(rows, process, mm, area, at, index, here, there,
                static_cast<std::size_t>(first - here.begin()));
  }

  bool tell(RowSink& rows, const TaskRef& process, Gva mm, const maps::Area& area, Gva at,
            std::uint64_t index, Bytes here, Bytes there, std::size_t first) {
    std::size_t changed = 0;
    bool probed = true, breakpoints = true;
    const auto inode = f_.inode.read(memory_, area.file).value_or(Gva{});
    for (std::size_t i = first; i < here.size(); ++i) {
      if (here[i] == there[i]) continue;
      ++changed;
      breakpoints = breakpoints && here[i] == kInt3;
      const auto offset = index * kPageSize + i;
      probed = probed && is_probed({inode, offset});
    }
    // Is it still its page? It may have ended, or executed another program.
    if (f_.mm.read(memory_, process.address).value_or(Gva{}) != mm || !tasks_.still(process))
      return true;
    const auto shown = std::min(kShownBytes, here.size() - first);
    rows.begin();
    rows.set(kPid, std::int64_t{process.tgid});
    rows.set(kName, f_.comm.read(memory_, process.address).value_or(""));
    if (const auto point = paths_.point_at(f_.path.in(area.file))) {
      if (auto text = paths_.text(*point)) rows.set(kPath, std::move(text->text));
    }
    rows.set(kStart, (at + first).value);
    rows.set(kOffset, index * kPageSize + first);
    rows.set(kChanged, static_cast<std::int64_t>(changed));
    rows.set(kMemory, hexadecimal(here.subspan(first, shown)));
    rows.set(kFile, hexadecimal(there.subspan(first, shown)));
    rows.set(kUprobe, probed);
    rows.set(kDebugger, breakpoints && f_.ptrace.read(memory_, process.address).value_or(0) != 0);
    return rows.end();
  }

  static std::string hexadecimal(Bytes bytes) {
    std::string text;
    for (const auto byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return text;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  PathReader paths_;
  maps::AreaFinder areas_;
  PageCache cache_;
  std::unordered_set<std::uint64_t> files_own_;  // frames that are the page cache's
  std::vector<Probe> probes_;
  std::size_t pages_ = 0;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel.types()));
  auto paths = TRY(PathReader::open(kernel));
  auto areas = TRY(maps::AreaFinder::open(kernel));
  auto cache = TRY(PageCache::open(kernel));
  return std::make_unique<Reader>(kernel, std::move(fields), std::move(tasks), std::move(paths),
                                  std::move(areas), std::move(cache));
}

}  // namespace

const View text_changes_view(kInfo, open);

}  // namespace vitrine::linux
