#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/kernel_code.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/walk/list.h"
#include "linux/walk/rb_tree.h"
#include "x86/paging.h"

namespace vitrine::linux {
namespace {

enum : std::size_t { kName, kText, kTextSize, kFoundBy, kMissingFrom, kAddress, kSymbols, kBytes };

constexpr Column kColumns[] = {
    {"name", ColumnType::text, "as its struct module has it; absent: no struct module was found"},
    {"text", ColumnType::address, "its code: where that starts"},
    {"text_size", ColumnType::size, "bytes of code"},
    {"found_by", ColumnType::list,
     "who knows it: sysfs (the kset), address tree, bug list, tracepoints, types (BTF), page "
     "tables (its code is "
     "executable), memory (its struct module was found by a search)"},
    {"missing_from", ColumnType::list,
     "who should know it and does not: module list, sysfs, address tree"},
    {"address", ColumnType::address, "of its struct module; absent: none was found",
     Column::hidden},
    {"symbols", ColumnType::list,
     "names of its functions, at most 16, where its symbols are still there", Column::hidden},
    {"bytes", ColumnType::text, "the first 32 bytes of its code, in hexadecimal", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "hidden_modules",
    .summary = "code and modules that are there, but not in every place where a module should be",
    .columns = kColumns,
    .order = "by address of the code",
    .key = "text",
};

constexpr std::size_t kMaxSymbols = 16;
constexpr std::size_t kCodeBytes = 32;
constexpr std::uint64_t kMaxSearched = 256 * kMiB;  // of modules' memory, for a struct module
constexpr std::size_t kMaxTries = 1 << 18;          // words there that could be of a struct module
constexpr std::size_t kMaxStructs = 4096;

struct Sighting {
  std::set<std::string> by;
  std::optional<Module> module;
};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, const ModuleLayout& layout)
      : kernel_(kernel), memory_(kernel.memory()), layout_(layout), of_(kernel.types()) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    // A module that comes or goes is in some places and not in others: only what two looks agree on
    // is told.
    auto first = TRY(look(tally));
    if (!first.empty()) {
      ++tally.retries;
      Tally again;
      auto second = TRY(look(again));
      std::erase_if(second, [&](const auto& entry) { return !first.contains(entry.first); });
      first = std::move(second);  // what was in the midst of it at the first look no longer is
    }
    for (const auto& [text, found] : first) {
      rows.begin();
      rows.set(kText, text.value);
      rows.set(kTextSize, static_cast<std::int64_t>(found.size));
      rows.set(kFoundBy, found.found_by);
      rows.set(kMissingFrom, found.missing_from);
      if (found.module) {
        rows.set(kName, found.module->name);
        rows.set(kAddress, found.module->address.value);
        if (rows.wants(kSymbols)) rows.set(kSymbols, functions_of(*found.module));
      }
      if (rows.wants(kBytes)) rows.set(kBytes, hexadecimal_at(memory_, text, kCodeBytes));
      if (!rows.end()) break;
    }
    return tally;
  }

 private:
  struct Hidden {
    std::uint64_t size = 0;
    std::vector<std::string> found_by, missing_from;
    std::optional<Module> module;
  };

  [[nodiscard]] std::uint64_t word(Gva at) const {
    return memory_.load<std::uint64_t>(at).value_or(0);
  }

  Outcome<std::map<Gva, Hidden>> look(Tally& tally) {
    const auto code = TRY(KernelCode::read(kernel_));
    tally.truncated |= code.truncated();
    std::map<Gva, Sighting> seen;  // by struct module
    for (const Module& module : code.modules()) seen[module.address].by.insert("module list");
    collect(seen, tally);
    std::map<Gva, Hidden> hidden;
    const auto add = [&](Gva text, std::uint64_t size) -> Hidden& {
      auto& entry = hidden[text];
      entry.size = size;
      return entry;
    };
    for (auto& [address, sighting] : seen) {
      auto module = read_module(memory_, layout_, address);
      const bool listed = sighting.by.contains("module list");
      if (!module) {
        if (listed || !is_kernel_pointer(address)) continue;
        auto& entry = add(address, 0);
        entry.found_by.assign(sighting.by.begin(), sighting.by.end());
        entry.missing_from = {"module list"};
        continue;
      }
      if (module->state != ModuleState::live && (listed || module->state == ModuleState::unformed))
        continue;
      std::vector<std::string> missing;
      if (!listed) missing.emplace_back("module list");
      if (have_kset_ && !sighting.by.contains("sysfs")) missing.emplace_back("sysfs");
      if (have_tree_ && !sighting.by.contains("address tree")) missing.emplace_back("address tree");
      if (missing.empty()) continue;
      const auto& text = module->parts[kModuleText];
      auto& entry = add(text.start ? text.start : address, text.size);
      entry.found_by.assign(sighting.by.begin(), sighting.by.end());
      entry.missing_from = std::move(missing);
      entry.module = *std::move(module);
    }
    std::vector<CodeRange> unknown;
    for (const CodeRange& range : code.rest())
      if (range.owner == CodeOwner::unknown) unknown.push_back(range);
    std::ranges::sort(unknown, {}, &CodeRange::start);
    // Both ascend: of what starts below a range, what reaches furthest holds it, if anything does.
    const auto end_of = [](const auto& entry) {
      const auto size = std::max<std::uint64_t>(entry.second.size, 1);
      return entry.first.value + std::min(size, UINT64_MAX - entry.first.value);
    };
    auto next = hidden.begin(), widest = hidden.end();
    std::erase_if(unknown, [&](const CodeRange& range) {
      for (; next != hidden.end() && next->first <= range.start; ++next)
        if (widest == hidden.end() || end_of(*next) > end_of(*widest)) widest = next;
      if (widest == hidden.end() || range.start.value >= end_of(*widest)) return false;
      auto& by = widest->second.found_by;
      if (std::ranges::find(by, "page tables") == by.end()) by.emplace_back("page tables");
      return true;
    });
    auto modules = search_structs(unknown);
    for (const CodeRange& range : unknown) {
      auto& entry = add(range.start, range.size);
      entry.found_by = {"page tables"};
      entry.missing_from = {"module list"};
      if (const auto module = modules.find(range.start); module != modules.end()) {
        entry.found_by.emplace_back("memory");
        entry.module = std::move(module->second);
      }
    }
    return hidden;
  }

  /// Every other place that leads to struct modules.
  void collect(std::map<Gva, Sighting>& seen, Tally& tally) {
    const auto note = [&](Gva module, const char* by) {
      if (is_kernel_pointer(module) && seen.size() < kMaxStructs) seen[module].by.insert(by);
    };
    const auto each = [&](std::optional<Gva> head, std::optional<std::uint32_t> link,
                          const std::function<void(Gva)>& use) {
      if (!head || !link) return false;
      const auto walked = walk_list(memory_, *head, kMaxModules, [&](Gva node) {
        use(node - *link);
        return true;
      });
      tally.truncated |= walked.truncated;
      return !walked.broken;
    };
    const auto& symbols = kernel_.symbols();
    // The kset of /sys/module; what is built in has no struct module there.
    const auto mod = of_.find("module_kobject.mod"), object = of_.find("module_kobject.kobj"),
               entry = of_.find("kobject.entry"), list = of_.find("kset.list");
    have_kset_ = false;
    if (const auto kset = symbols.find("module_kset"); kset && mod && object && entry && list) {
      have_kset_ = each(Gva{word(*kset)} + *list, *object + *entry, [&](Gva kobject) {
        const Gva module{word(kobject + *mod)};
        if (module) note(module, "sysfs");
      });
    }
    // The tree that tells whose an address is (CONFIG_MODULES_TREE_LOOKUP).
    const auto owner = of_.find("mod_tree_node.mod"), node_in = of_.find("mod_tree_node.node"),
               root = of_.find("mod_tree_root.root"), trees = of_.find("latch_tree_root.tree");
    have_tree_ = false;
    if (const auto tree = symbols.find("mod_tree"); tree && owner && node_in && root && trees) {
      const auto walked =
          walk_rb_tree(memory_, *tree + *root + *trees, kMaxModules * 8, [&](Gva node) {
            note(Gva{word(node - *node_in + *owner)}, "address tree");
            return true;
          });
      have_tree_ = walked.complete();
    }
    each(symbols.find("module_bug_list"), of_.find("module.bug_list"),
         [&](Gva module) { note(module, "bug list"); });
    if (const auto tracepoint_module = of_.find("tp_module.mod"))
      each(symbols.find("tracepoint_module_list"), of_.find("tp_module.list"),
           [&](Gva at) { note(Gva{word(at + *tracepoint_module)}, "tracepoints"); });
    if (const auto typed = of_.find("btf_module.module"))
      each(symbols.find("btf_modules"), of_.find("btf_module.list"),
           [&](Gva at) { note(Gva{word(at + *typed)}, "types"); });
  }

  /// A module that is in no list keeps its struct module in its own data, which says where its code
  /// is: by the start of the code, of those in `code` (which ascend). One pass for all of them.
  [[nodiscard]] std::map<Gva, Module> search_structs(std::span<const CodeRange> code) {
    std::map<Gva, Module> found;
    if (code.empty()) return found;
    const std::uint64_t base =
        layout_.memory
            ? layout_.memory->first + layout_.memory->index[kModuleText] * layout_.memory->stride +
                  layout_.memory->base
            : layout_.core.base;
    std::uint64_t searched = 0;
    std::size_t tries = 0;
    std::vector<std::byte> page(kPageSize);
    // Modules lie above the kernel's image, within the last 2 GiB.
    const Gva from{0xffff'ffff'8000'0000};
    const Gva image_end = kernel_.symbols().find("_end").value_or(Gva{});
    // A search that ends early finds nothing: the code is told all the same.
    (void)x86::for_each_mapping(
        kernel_.ram(), kernel_.memory().root(), from, Gva{0xffff'ffff'ff00'0000}, 4096,
        [&](const x86::Mapping& mapping) {
          if (mapping.first.executable || mapping.start < image_end) return true;
          for (std::uint64_t at = 0; at < mapping.size; at += kPageSize) {
            searched += kPageSize;
            if (searched > kMaxSearched) return false;
            if (!memory_.read(mapping.start + at, page)) continue;
            for (std::uint64_t offset = 0; offset < kPageSize; offset += 8) {
              const Gva start{*load<std::uint64_t>(page, offset)};
              if (start < code.front().start || start > code.back().start ||
                  !std::ranges::binary_search(code, start, {}, &CodeRange::start) ||
                  found.contains(start))
                continue;
              if (++tries > kMaxTries) return false;
              auto module = read_module(memory_, layout_, mapping.start + at + offset - base);
              if (!module || module->parts[kModuleText].start != start || module->name.empty())
                continue;
              found.emplace(start, *std::move(module));
              if (found.size() == code.size()) return false;
            }
          }
          return true;
        });
    return found;
  }

  [[nodiscard]] std::vector<std::string> functions_of(const Module& module) const {
    std::vector<std::string> names;
    // What was read before an error stands.
    (void)for_each_symbol_of(memory_, layout_, module, 512, [&](const ModuleSymbol& symbol) {
      if ((symbol.type == 't' || symbol.type == 'T') && !symbol.name.starts_with("__pfx_"))
        names.emplace_back(symbol.name);
      return names.size() < kMaxSymbols;
    });
    return names;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  ModuleLayout layout_;
  Offsets of_;
  bool have_kset_ = false, have_tree_ = false;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  if (!kernel.lists_data()) TRY(kernel.symbol("modules"));
  return std::make_unique<Reader>(kernel, TRY(ModuleLayout::find(kernel.types())));
}

}  // namespace

const View hidden_modules_view(kInfo, open);

}  // namespace vitrine::linux
