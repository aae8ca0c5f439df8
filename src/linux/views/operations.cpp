#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_set>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/kernel_code.h"
#include "linux/modules_offsets.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/walk/list.h"
#include "linux/walk/rb_tree.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kTable,
  kMember,
  kPointer,
  kSymbol,
  kOwner,
  kModule,
  kKnown,
  kReached,
  kAddress,
  kBytes
};

constexpr Column kColumns[] = {
    {"table", ColumnType::text,
     "the table's symbol (tcp4_seq_ops), or its type where it has none (file_operations)"},
    {"member", ColumnType::text,
     "which of its functions; +OFFSET where the table's type is not known"},
    {"pointer", ColumnType::address, "where it leads"},
    {"symbol", ColumnType::text, "what is there"},
    {"owner", ColumnType::text, "whose code: module NAME, bpf, unknown ..."},
    {"module", ColumnType::text, "the module's name; absent: no module's", Column::hidden},
    {"known", ColumnType::boolean, "false: code that nobody accounts for"},
    {"reached_by", ColumnType::text,
     "what leads to the table: symbol, /proc/NAME, file, socket, superblock"},
    {"address", ColumnType::address, "of the pointer itself", Column::hidden},
    {"bytes", ColumnType::text, "the first 32 bytes it leads to, in hexadecimal", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "operations",
    .summary =
        "function pointers that lead where none should: out of known code, or from the kernel's "
        "own tables into a module",
    .columns = kColumns,
    .order =
        "the kernel's and modules' tables by address, then /proc, super blocks, open files and "
        "sockets",
    .key = "address",
};

constexpr std::size_t kMaxRows = 4096;
constexpr std::uint64_t kMaxTable = 2 * kKiB;
constexpr std::uint64_t kMaxSection = 64 * kMiB, kMaxSections = kGiB;  // of all modules
constexpr std::uint64_t kPiece = 256 * kKiB;                           // of a section, at a time
constexpr std::uint64_t kMaxNamed = 64 * kKiB;  // further from a symbol: not in what it names
constexpr std::uint64_t kMaxInit = 64 * kKiB;   // more than the init text of any module
constexpr std::size_t kMaxEntries = 1U << 16;
constexpr std::size_t kCodeBytes = 32;

bool names_a_table(std::string_view name) {
  for (const std::string_view suffix :
       {"_ops", "_fops", "_operations", "_prot", "_proto", "_protocol", "_iops", "_dops", "_sops",
        "_aops", "_family_ops", "_op", "_packet_type", "_fs_type"}) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, TaskList tasks)
      : kernel_(kernel), memory_(kernel.memory()), of_(kernel.types()), tasks_(std::move(tasks)) {}

  Outcome<Tally> read(RowSink& rows) override {
    auto code = TRY(KernelCode::read(kernel_));
    code_ = &code;
    rows_ = &rows;
    tally_ = {};
    tally_.truncated = code.truncated();
    tally_.warnings = code.warnings();
    seen_.clear();
    entries_.clear();
    given_.clear();
    const auto image_end = kernel_.symbols().find("_end");
    image_end_ = image_end.value_or(Gva{});
    image() && modules() && proc() && superblocks() && open_files();
    code_ = nullptr;
    return std::move(tally_);
  }

 private:
  struct Table {
    std::string name;  // symbol or type
    std::string type;  // of BTF, or empty
    std::string reached;
    bool of_kernel = false;  // built into the kernel: it never leads into a module
  };

  [[nodiscard]] std::uint64_t word(Gva at) const {
    return memory_.load<std::uint64_t>(at).value_or(0);
  }

  /// @returns false  no more rows are wanted
  bool judge(Gva at, std::uint64_t value, const Table& table, std::uint64_t offset) {
    const Gva pointer{value};
    if (code_->in_kernel_text(pointer) || value < 0xff00'0000'0000'0000) return true;
    const CodeRange* range = code_->find(pointer);
    if (range == nullptr || range->owner == CodeOwner::unused) return true;  // data
    if (range->owner != CodeOwner::unknown && !table.of_kernel) return true;
    // Trampolines and programs hang in the kernel's own tables rightly: who hangs there is in
    // `hooks`.
    if (range->owner != CodeOwner::unknown && range->owner != CodeOwner::module) return true;
    if (!given_.insert(at).second) return true;
    if (given_.size() > kMaxRows) {
      tally_.truncated = true;
      return false;
    }
    const auto where = code_->where(pointer);
    auto& rows = *rows_;
    rows.begin();
    rows.set(kTable, table.name);
    rows.set(kMember, member_of(table.type, offset));
    rows.set(kPointer, value);
    if (!where.symbol.empty()) rows.set(kSymbol, where.symbol);
    rows.set(kOwner, where.text);
    if (!where.module.empty()) rows.set(kModule, where.module);
    rows.set(kKnown, where.known());
    rows.set(kReached, table.reached);
    rows.set(kAddress, at.value);
    if (rows.wants(kBytes)) rows.set(kBytes, hexadecimal_at(memory_, pointer, kCodeBytes));
    return rows.end();
  }

  [[nodiscard]] std::string member_of(const std::string& type, std::uint64_t offset) const {
    if (const auto found = type.empty() ? std::nullopt : kernel_.types().find(type)) {
      for (const auto& member : found->resolved().members()) {
        if (member.bit_offset == offset * 8 && !member.name.empty())
          return std::string(member.name);
      }
    }
    return fmt::format("+{:#x}", offset);
  }

  /// Every table that the kernel was built with, by the names of its symbols, and all its
  /// constants; and anything in its data that leads to code that nobody accounts for, whatever it
  /// is called.
  bool image() {
    const SymbolTable& symbols = kernel_.symbols();
    for (const auto& [from, to] :
         {std::pair("__start_rodata", "__end_rodata"), std::pair("_sdata", "_edata"),
          std::pair("__bss_start", "__bss_stop")}) {
      const auto start = symbols.find(from), end = symbols.find(to);
      if (!start || !end || *end <= *start) continue;
      if (*end - *start > kMaxSection) {
        tally_.truncated = true;
        continue;
      }
      if (!section(*start, *end - *start, symbols, nullptr)) return false;
    }
    return true;
  }

  /// In the kernel's constants, which were there before any module: none leads into one. What is
  /// written while the kernel starts, and then protected, lies among them and may.
  [[nodiscard]] bool is_constant(Gva at) const {
    const auto within = [&](std::string_view from, std::string_view to) {
      const auto start = kernel_.symbols().find(from), end = kernel_.symbols().find(to);
      return start && end && at >= *start && at < *end;
    };
    return within("__start_rodata", "__end_rodata") &&
           !within("__start_ro_after_init", "__end_ro_after_init");
  }

  /// What `module` still says of its init text, which was freed when it had run: `module.init`, and
  /// tables of patch sites in it. Whose code lies there now has nothing to do with it.
  static bool stale(const Module& module, std::uint64_t value) {
    const auto start = module.init & ~(kPageSize - 1);
    return module.init != 0 && value >= start && value - start < kMaxInit;
  }

  /// @param module  whose section it is; null: the kernel's
  bool section(Gva start, std::uint64_t size, const SymbolTable& symbols, const Module* module) {
    // Piece by piece: the kernel's own are as large as all else that an engine holds.
    std::vector<std::byte> bytes(kPiece);
    const std::uint64_t skew = (8 - start.value % 8) % 8;
    for (std::uint64_t at = skew; at + 8 <= size; at += kPiece) {
      const auto piece = MutableBytes(bytes).first(std::min(kPiece, (size - at) / 8 * 8));
      read_pages(start + at, piece);
      if (!words(start, at, piece, symbols, module)) return false;
    }
    return true;
  }

  /// What can be read; zeros for pages that were given back.
  void read_pages(Gva start, MutableBytes bytes) const {
    if (memory_.read(start, bytes)) return;
    for (std::uint64_t at = 0; at < bytes.size();) {
      const auto left = kPageSize - (start + at).value % kPageSize;
      const auto page = bytes.subspan(at, std::min<std::uint64_t>(left, bytes.size() - at));
      if (!memory_.read(start + at, page)) std::ranges::fill(page, std::byte{0});
      at += page.size();
    }
  }

  /// @param bytes  of the section that begins at `start`, from offset `first` on
  bool words(Gva start, std::uint64_t first, Bytes bytes, const SymbolTable& symbols,
             const Module* module) {
    const bool of_kernel = module == nullptr;
    for (std::uint64_t at = first; at + 8 <= first + bytes.size(); at += 8) {
      const auto value = load<std::uint64_t>(bytes, at - first).value_or(0);
      // Out of the kernel's image and into its half: nearly nothing is.
      if (value < 0xffff'0000'0000'0000 || value == UINT64_MAX ||
          (value >= code_->text_start().value && value < image_end_.value))
        continue;
      const CodeRange* range = code_->find(Gva{value});
      if (range == nullptr || range->owner == CodeOwner::unused) continue;
      if (module != nullptr && stale(*module, value)) continue;
      auto symbol = symbols.nearest(start + at);
      // Before the section, or far: not its name.
      if (symbol && (symbol->address < start || start + at - symbol->address >= kMaxNamed))
        symbol.reset();
      const bool is_table =
          of_kernel &&
          ((symbol && names_a_table(symbol->name) && start + at - symbol->address < kMaxTable) ||
           is_constant(start + at));
      if (!is_table && range->owner != CodeOwner::unknown) continue;
      const auto offset = symbol ? start + at - symbol->address : at;
      const Table table{
          symbol ? std::string(symbol->name)
                 : fmt::format("data of {}", of_kernel ? "the kernel" : "module " + module->name),
          {},
          "symbol",
          is_table};
      if (!judge(start + at, value, table, offset)) return false;
    }
    return true;
  }

  bool modules() {
    if (!code_->has_unknown()) return true;  // a module's table may lead anywhere that is known
    std::uint64_t left = kMaxSections;
    for (const Module& module : code_->modules()) {
      for (const auto part : {kModuleRodata, kModuleRoAfterInit, kModuleData}) {
        const auto& range = module.parts[part];
        if (range.size == 0) continue;
        if (range.size > std::min(kMaxSection, left)) {
          tally_.truncated = true;
          continue;
        }
        left -= range.size;
        if (!section(range.start, range.size, kernel_.module_symbols(), &module)) return false;
      }
    }
    return true;
  }

  /// A table of a type that the kernel's types know, wherever it lies; each once.
  bool table(Gva at, const char* type, const std::string& reached) {
    if (!is_kernel_pointer(at) || !seen_.insert(at).second) return true;
    if (seen_.size() > kMaxEntries) {
      tally_.truncated = true;
      return false;
    }
    const auto size = kernel_.types().size_of(type);
    if (!size || *size > kMaxTable) return true;
    std::vector<std::byte> bytes(*size / 8 * 8);
    if (!memory_.read(at, bytes)) return true;
    Table told{type, type, reached, at >= code_->text_start() && at < image_end_};
    if (told.of_kernel) {
      if (const auto symbol = kernel_.symbols().nearest(at); symbol && symbol->address == at)
        told.name = symbol->name;
    }
    for (std::uint64_t offset = 0; offset < bytes.size(); offset += 8) {
      if (!judge(at + offset, load<std::uint64_t>(bytes, offset).value_or(0), told, offset))
        return false;
    }
    return true;
  }

  /// The tables of an inode: a file system's own code or a module's, never nobody's.
  bool inode(Gva node, const std::string& reached) {
    const auto iops = of_.find("inode.i_op"), fops = of_.find("inode.i_fop");
    if (!is_kernel_pointer(node) || !iops || !fops) return true;
    return table(Gva{word(node + *iops)}, "inode_operations", reached) &&
           table(Gva{word(node + *fops)}, "file_operations", reached);
  }

  bool proc() {
    const auto root = kernel_.symbols().find("proc_root");
    if (!root) return true;
    if (!proc_entry(*root, "/proc", 0)) return false;
    const auto list = kernel_.symbols().find("net_namespace_list");
    const auto link = of_.find("net.list"), net = of_.find("net.proc_net");
    if (!list || !link || !net) return true;
    bool go_on = true;
    const auto walked = walk_list(memory_, *list, 4096, [&](Gva node) {
      return go_on = proc_entry(Gva{word(node - *link + *net)}, "/proc/net", 0);
    });
    tally_.truncated |= walked.truncated;
    return go_on;
  }

  bool proc_entry(Gva entry, const std::string& path, int depth) {
    if (!is_kernel_pointer(entry, 4) || depth > 8) return true;
    if (!entries_.insert(entry).second && depth > 0) return true;
    const auto proc_iops = of_.find("proc_dir_entry.proc_iops"),
               ops = of_.find("proc_dir_entry.proc_ops"), seq = of_.find("proc_dir_entry.seq_ops"),
               subdir = of_.find("proc_dir_entry.subdir"),
               node_in = of_.find("proc_dir_entry.subdir_node"),
               title = of_.find("proc_dir_entry.name"), mode = of_.find("proc_dir_entry.mode"),
               write = of_.find("proc_dir_entry.write");
    if (!proc_iops || !ops || !seq || !subdir || !node_in || !title || !mode) return true;
    const bool directory = (memory_.load<std::uint16_t>(entry + *mode).value_or(0) >> 12) == 4;
    if (!table(Gva{word(entry + *proc_iops)}, "inode_operations", path)) return false;
    if (!table(Gva{word(entry + *ops)}, directory ? "file_operations" : "proc_ops", path))
      return false;
    // A union: a table, or the one function itself.
    const Gva shown{word(entry + *seq)};
    const Table own{"proc_dir_entry", "proc_dir_entry", path, false};
    if (!directory) {
      if (code_->find(shown) != nullptr) {
        if (!judge(entry + *seq, shown.value, own, *seq)) return false;
      } else if (!table(shown, "seq_operations", path)) {
        return false;
      }
      if (write && !judge(entry + *write, word(entry + *write), own, *write)) return false;
      return true;
    }
    bool go_on = true;
    const auto walked = walk_rb_tree(memory_, entry + *subdir, kMaxEntries, [&](Gva node) {
      const Gva child = node - *node_in;
      const auto name = memory_.load_string(Gva{word(child + *title)}, 256);
      return go_on = proc_entry(child, path + "/" + name.value_or("?"), depth + 1);
    });
    tally_.truncated |= walked.truncated;
    return go_on;
  }

  bool superblocks() {
    const auto list = kernel_.symbols().find("super_blocks");
    const auto link = of_.find("super_block.s_list"), ops = of_.find("super_block.s_op"),
               root = of_.find("super_block.s_root"), node = of_.find("dentry.d_inode"),
               dops = of_.find("dentry.d_op"), id = of_.find("super_block.s_id");
    if (!list || !link || !ops || !root || !node || !dops || !id) return true;
    bool go_on = true;
    const auto walked = walk_list(memory_, *list, kMaxEntries, [&](Gva at) {
      const Gva block = at - *link;
      const auto reached =
          fmt::format("superblock {}", memory_.load_string(block + *id, 32).value_or("?"));
      go_on = table(Gva{word(block + *ops)}, "super_operations", reached);
      const Gva top{word(block + *root)};
      if (go_on && is_kernel_pointer(top)) {
        go_on = inode(Gva{word(top + *node)}, reached) &&
                table(Gva{word(top + *dops)}, "dentry_operations", reached);
      }
      return go_on;
    });
    tally_.truncated |= walked.truncated;
    return go_on;
  }

  bool open_files() {
    const auto files = of_.find("task_struct.files"), fdt = of_.find("files_struct.fdt"),
               array = of_.find("fdtable.fd"), most = of_.find("fdtable.max_fds"),
               fops = of_.find("file.f_op"), node = of_.find("file.f_inode"),
               data = of_.find("file.private_data"), socket_ops = of_.find("socket.ops"),
               sock = of_.find("socket.sk"), proto = of_.find("sock.__sk_common.skc_prot"),
               seq = of_.find("seq_file.op");
    if (!files || !fdt || !array || !most || !fops || !node || !data || !socket_ops || !sock ||
        !proto || !seq)
      return true;
    const Gva sockets = kernel_.symbols().find("socket_file_ops").value_or(Gva{});
    std::unordered_set<Gva> looked_at;
    for (const auto& process : tasks_.processes().tasks) {
      const Gva own{word(process.address + *files)};
      if (!is_kernel_pointer(own) || !looked_at.insert(own).second) continue;
      const Gva descriptors{word(own + *fdt)};
      if (!is_kernel_pointer(descriptors)) continue;
      const auto count = std::min<std::uint32_t>(
          memory_.load<std::uint32_t>(descriptors + *most).value_or(0), 1U << 16);
      std::vector<Gva> slots(count);
      if (!memory_.read(Gva{word(descriptors + *array)}, std::as_writable_bytes(std::span(slots))))
        continue;
      for (std::size_t fd = 0; fd < slots.size(); ++fd) {
        const Gva file = slots[fd];
        if (!is_kernel_pointer(file)) continue;
        if (!looked_at.insert(file).second) continue;
        const Gva table_at{word(file + *fops)};
        const auto reached = [&](const char* what) {
          return fmt::format("{} of pid {} (fd {})", what, process.tgid, fd);
        };
        if (!seen_.contains(table_at) && !table(table_at, "file_operations", reached("file")))
          return false;
        const Gva inode_at{word(file + *node)};
        if (is_kernel_pointer(inode_at) && !inode(inode_at, reached("file"))) return false;
        if (sockets && table_at == sockets) {
          const Gva socket{word(file + *data)};
          if (!is_kernel_pointer(socket)) continue;
          if (!table(Gva{word(socket + *socket_ops)}, "proto_ops", reached("socket"))) return false;
          const Gva sk{word(socket + *sock)};
          if (is_kernel_pointer(sk) && !table(Gva{word(sk + *proto)}, "proto", reached("socket")))
            return false;
        }
      }
    }
    return true;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Offsets of_;
  TaskList tasks_;
  const KernelCode* code_ = nullptr;
  RowSink* rows_ = nullptr;
  Tally tally_;
  Gva image_end_;
  std::unordered_set<Gva> seen_, given_, entries_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  TRY(kernel.symbol("_etext"));
  return std::make_unique<Reader>(kernel, TRY(TaskList::open(kernel)));
}

}  // namespace

const View operations_view(kInfo, open);

}  // namespace vitrine::linux
