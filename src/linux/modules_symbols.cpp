// The symbols of modules, as /proc/kallsyms prints them.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <unordered_map>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/modules.h"
#include "linux/modules_offsets.h"
#include "linux/modules_strings.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kSymbolSize =
    24;  // Elf64_Sym: name u32, info, other, section u16, value, size
constexpr std::uint64_t kValueOffset = 8;
constexpr std::size_t kChunk = 1024;  // symbols to a read
constexpr std::size_t kMaxExports = 1U << 16;
constexpr std::size_t kMaxAllSymbols = 3 * kMaxModuleSymbols;
constexpr std::size_t kMaxNameBytes = 64 * kMiB;
constexpr std::size_t kMaxNodes = 1U << 16;
constexpr std::uint64_t kNameLimit = 512;  // KSYM_NAME_LEN; 128 before 6.1
constexpr std::size_t kMaxNamesAt = 64;
constexpr int kAttempts = 3;

using Exports = std::unordered_multimap<std::uint64_t, std::string>;

/// What a module exports: value to names.
Result<Exports> read_exports(const VirtualMemory& memory, const ModuleLayout& layout,
                             const Module& module, StringReader& strings) {
  Exports exports;
  if (module.export_count == 0 || module.syms == 0) return exports;
  if (module.export_count > kMaxExports)
    return fail(Errc::too_large, module.address.value, "module.num_syms");
  std::vector<std::byte> table(module.export_count * layout.export_size);
  if (auto done = memory.read(Gva{module.syms}, table); !done) return std::unexpected(done.error());
  std::string text;
  for (std::uint64_t i = 0; i < module.export_count; ++i) {
    const auto pointer = [&](std::uint64_t offset) {
      const auto at = i * layout.export_size + offset;
      if (!layout.relative_exports) return load<std::uint64_t>(table, at).value_or(0);
      const std::int64_t distance = load<std::int32_t>(table, at).value_or(0);
      return module.syms + at + static_cast<std::uint64_t>(distance);
    };
    TRY(strings.read(Gva{pointer(layout.export_name)}, kNameLimit, text));
    exports.emplace(pointer(layout.export_value), text);
  }
  return exports;
}

char shown_type(char type, bool exported) {
  const auto byte = static_cast<unsigned char>(type);
  return static_cast<char>(exported ? std::toupper(byte) : std::tolower(byte));
}

/// What is seen of the symbols that are no module's: /proc/kallsyms after the modules.
class OtherSymbols {
 public:
  using Visit = std::function<bool(const ModuleSymbol&)>;

  OtherSymbols(const Kernel& kernel, SymbolWalk& walk, std::uint64_t name_limit, const Visit& visit)
      : kernel_(kernel),
        memory_(kernel.memory()),
        of_(kernel.types()),
        walk_(walk),
        name_limit_(name_limit),
        visit_(visit) {}

  void run() {
    ftrace_functions() && ftrace_trampolines() && programs() && probe_pages("kprobe_insn_slots") &&
        probe_pages("kprobe_optinsn_slots");
  }

 private:
  bool give(std::uint64_t address, char type, std::string_view name, std::string_view module) {
    if (name.empty()) return true;
    ++walk_.symbols;
    return visit_({Gva{address}, type, name.substr(0, name_limit_ - 1), module});
  }

  /// Walks the list at symbol `list`, or at `head`. @returns false  no more symbols are wanted.
  template <class Visit>
  bool each(const char* what, Gva head, Visit&& visit) {
    bool go_on = true;
    const auto walked =
        walk_list(memory_, head, kMaxNodes, [&](Gva node) { return go_on = visit(node); });
    if (walked.broken)
      walk_.warnings.push_back(fmt::format("{}: {}", what, describe(*walked.broken)));
    walk_.truncated |= walked.truncated;
    return go_on;
  }

  [[nodiscard]] std::uint64_t word(Gva at) const {
    return memory_.load<std::uint64_t>(at).value_or(0);
  }

  // Functions of init sections that were traced while their module loaded (4.15 on).
  bool ftrace_functions() {
    const auto head = kernel_.symbols().find("ftrace_mod_maps");
    const auto list = of_.find("ftrace_mod_map.list"), mod = of_.find("ftrace_mod_map.mod"),
               funcs = of_.find("ftrace_mod_map.funcs"),
               func_list = of_.find("ftrace_mod_func.list"),
               name = of_.find("ftrace_mod_func.name"), ip = of_.find("ftrace_mod_func.ip"),
               module_name = of_.find("module.name");
    if (!head || !list || !mod || !funcs || !func_list || !name || !ip || !module_name) return true;
    return each("ftrace_mod_maps", *head, [&](Gva node) {
      const Gva map = node - *list;
      const auto module =
          memory_.load_string(Gva{word(map + *mod)} + *module_name, of_.size("module.name"));
      return each("ftrace_mod_map.funcs", map + *funcs, [&](Gva func_node) {
        const Gva func = func_node - *func_list;
        const auto text = memory_.load_string(Gva{word(func + *name)}, kNameLimit);
        return !text || !module || give(word(func + *ip), 'T', *text, *module);
      });
    });
  }

  // Commit fc0ea795f53c (5.8).
  bool ftrace_trampolines() {
    const auto head = kernel_.symbols().find("ftrace_ops_trampoline_list");
    const auto list = of_.find("ftrace_ops.list"), trampoline = of_.find("ftrace_ops.trampoline");
    if (!head || !list || !trampoline) return true;
    return each("ftrace_ops_trampoline_list", *head, [&](Gva node) {
      const auto address = word(node - *list + *trampoline);
      return address == 0 || give(address, 't', "ftrace_trampoline", "__builtin__ftrace");
    });
  }

  // struct bpf_ksym: commit 535911c80ad4 (5.7).
  bool programs() {
    const auto head = kernel_.symbols().find("bpf_kallsyms");
    const auto list = of_.find("bpf_ksym.lnode"), start = of_.find("bpf_ksym.start"),
               name = of_.find("bpf_ksym.name");
    if (!head || !list || !start || !name) return true;
    return each("bpf_kallsyms", *head, [&](Gva node) {
      const Gva ksym = node - *list;
      const auto text = memory_.load_string(ksym + *name, of_.size("bpf_ksym.name"));
      return !text || give(word(ksym + *start), 't', *text, "bpf");
    });
  }

  // Commit d002b8bc6dbc (5.8).
  bool probe_pages(const char* cache_symbol) {
    const auto cache = kernel_.symbols().find(cache_symbol);
    const auto pages = of_.find("kprobe_insn_cache.pages"), sym = of_.find("kprobe_insn_cache.sym"),
               list = of_.find("kprobe_insn_page.list"), insns = of_.find("kprobe_insn_page.insns");
    if (!cache || !pages || !sym || !list || !insns) return true;
    const auto text = memory_.load_string(Gva{word(*cache + *sym)}, kNameLimit);
    return each(cache_symbol, *cache + *pages, [&](Gva node) {
      return !text || give(word(node - *list + *insns), 't', *text, "__builtin__kprobes");
    });
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Offsets of_;
  SymbolWalk& walk_;
  std::uint64_t name_limit_;
  const Visit& visit_;
};

/// The symbols of one module, kept until all of them could be read.
struct Batch {
  struct Entry {
    Gva address;
    std::uint32_t name, size;
    char type;
  };
  std::vector<Entry> entries;
  std::string names;
};

}  // namespace

Result<std::size_t> for_each_symbol_of(const VirtualMemory& memory, const ModuleLayout& layout,
                                       const Module& module, std::uint64_t name_limit,
                                       const std::function<bool(const ModuleSymbol&)>& visit) {
  if (module.kallsyms == 0) return std::size_t{0};
  const Gva table{module.kallsyms};
  const Gva symtab{TRY(memory.load<std::uint64_t>(table + layout.symtab))};
  const auto count = TRY(memory.load<std::uint32_t>(table + layout.num_symtab));
  const Gva strtab{TRY(memory.load<std::uint64_t>(table + layout.strtab))};
  const Gva typetab{TRY(memory.load<std::uint64_t>(table + layout.typetab))};
  if (count > kMaxModuleSymbols)
    return fail(Errc::too_large, table.value, "mod_kallsyms.num_symtab");

  StringReader strings(memory), export_strings(memory);
  const auto exports = TRY(read_exports(memory, layout, module, export_strings));
  std::vector<std::byte> symbols;
  std::vector<std::byte> types;
  std::string text;
  std::size_t given = 0;
  for (std::uint64_t first = 0; first < count; first += kChunk) {
    const auto some = std::min<std::uint64_t>(kChunk, count - first);
    symbols.resize(some * kSymbolSize);
    types.resize(some);
    TRY(memory.read(symtab + first * kSymbolSize, symbols));
    TRY(memory.read(typetab + first, types));
    for (std::uint64_t i = 0; i < some; ++i) {
      const auto name = load<std::uint32_t>(symbols, i * kSymbolSize).value_or(0);
      const auto value = load<std::uint64_t>(symbols, i * kSymbolSize + kValueOffset).value_or(0);
      TRY(strings.read(strtab + name, name_limit - 1, text));
      if (text.empty()) continue;
      const auto [from, to] = exports.equal_range(value);
      const bool exported =
          std::any_of(from, to, [&](const auto& entry) { return entry.second == text; });
      ++given;
      if (!visit(
              {Gva{value}, shown_type(static_cast<char>(types[i]), exported), text, module.name}))
        return given;
    }
  }
  return given;
}

Result<std::vector<std::string>> read_names_at(const VirtualMemory& memory,
                                               const ModuleLayout& layout, const Module& module,
                                               Gva address) {
  std::vector<std::string> names;
  if (module.kallsyms == 0) return names;
  const Gva table{module.kallsyms};
  const Gva symtab{TRY(memory.load<std::uint64_t>(table + layout.symtab))};
  const auto count = TRY(memory.load<std::uint32_t>(table + layout.num_symtab));
  const Gva strtab{TRY(memory.load<std::uint64_t>(table + layout.strtab))};
  if (count > kMaxModuleSymbols)
    return fail(Errc::too_large, table.value, "mod_kallsyms.num_symtab");
  StringReader strings(memory);
  std::vector<std::byte> symbols;
  std::string text;
  for (std::uint64_t first = 0; first < count; first += kChunk) {
    symbols.resize(std::min<std::uint64_t>(kChunk, count - first) * kSymbolSize);
    TRY(memory.read(symtab + first * kSymbolSize, symbols));
    for (std::uint64_t at = 0; at < symbols.size(); at += kSymbolSize) {
      if (load<std::uint64_t>(symbols, at + kValueOffset) != address.value) continue;
      TRY(strings.read(strtab + load<std::uint32_t>(symbols, at).value_or(0), kNameLimit, text));
      if (!text.empty() && names.size() < kMaxNamesAt) names.push_back(text);
    }
  }
  return names;
}

Outcome<SymbolWalk> for_each_module_symbol(const Kernel& kernel,
                                           const std::function<bool(const ModuleSymbol&)>& visit) {
  auto list = TRY(read_modules(kernel));
  const auto layout = TRY(ModuleLayout::find(kernel.types()));
  SymbolWalk walk;
  walk.truncated = list.truncated;
  walk.retries = list.retries;
  walk.warnings = std::move(list.warnings);
  const auto limit = Offsets(kernel.types()).size("bpf_ksym.name");
  const auto name_limit = limit >= 64 && limit <= 4096 ? limit : kNameLimit;

  std::size_t name_bytes = 0;
  for (Module& module : list.modules) {
    if (module.state == ModuleState::unformed) continue;
    Batch batch;
    Result<std::size_t> done = std::size_t{0};
    for (int attempt = 0;; ++attempt) {
      batch = {};
      bool full = false;
      done = for_each_symbol_of(
          kernel.memory(), layout, module, name_limit, [&](const ModuleSymbol& symbol) {
            full = walk.symbols + batch.entries.size() >= kMaxAllSymbols ||
                   name_bytes + batch.names.size() >= kMaxNameBytes;
            if (full) return false;
            batch.entries.push_back({symbol.address, static_cast<std::uint32_t>(batch.names.size()),
                                     static_cast<std::uint32_t>(symbol.name.size()), symbol.type});
            batch.names += symbol.name;
            return true;
          });
      walk.truncated |= full;
      if (done || attempt == kAttempts || !kernel.machine().live()) break;
      ++walk.retries;
      // It may have finished loading: its init section, and the symbols there, are gone.
      if (auto again = read_module(kernel.memory(), layout, module.address))
        module = *std::move(again);
    }
    if (!done) {
      walk.warnings.push_back(
          fmt::format("symbols of {}: {}", module.name, describe(done.error())));
    }
    name_bytes += batch.names.size();
    for (const auto& entry : batch.entries) {
      ++walk.symbols;
      const auto text = std::string_view(batch.names).substr(entry.name, entry.size);
      if (!visit({entry.address, entry.type, text, module.name})) return walk;
    }
    if (walk.truncated && walk.symbols >= kMaxAllSymbols) return walk;
  }
  OtherSymbols(kernel, walk, name_limit, visit).run();
  return walk;
}

Outcome<SymbolTable> read_module_symbols(const Kernel& kernel) {
  SymbolTable::Builder builder;
  std::string module;
  std::uint16_t number = 0;
  bool full = false;
  TRY(for_each_module_symbol(kernel, [&](const ModuleSymbol& symbol) {
    if (number == 0 || module != symbol.module) {
      if (number == UINT16_MAX) full = true;
      if (full) return false;
      module = symbol.module;
      number = builder.module(module);
    }
    builder.add(symbol.address.value, symbol.type, symbol.name, number);
    return true;
  }));
  return std::move(builder).build();
}

}  // namespace vitrine::linux
