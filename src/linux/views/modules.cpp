#include "linux/modules.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kName,
  kSize,
  kReferences,
  kUsedBy,
  kState,
  kCore,
  kTaints,
  kTaintsUntold,
  kVersion,
  kSrcversion,
  kParameters,
  kText,
  kTextSize,
  kRodata,
  kRodataSize,
  kRoAfterInit,
  kRoAfterInitSize,
  kData,
  kDataSize,
  kInitSize,
  kInit,
  kExit,
  kExitSymbol,
  kHasBtf,
  kBuildId,
  kAddress
};

constexpr Column kColumns[] = {
    {"name", ColumnType::text, "its name (module.name)"},
    {"size", ColumnType::size, "bytes of all its parts, as in /proc/modules"},
    {"references", ColumnType::integer,
     "how often it is in use (module_refcount); absent: this kernel does not unload"},
    {"used_by", ColumnType::list, "modules that use it"},
    {"state", ColumnType::text, "Live, Loading, Unloading, or Unformed"},
    {"core", ColumnType::address, "where its text lies: the address in /proc/modules"},
    {"taints", ColumnType::text,
     "letters: P proprietary, O out of tree, E unsigned, F forced, C staging, K live patch ..."},
    {"taints_untold", ColumnType::text,
     "of these, what the kernel as a whole does not say of itself (view kernel: taints); a kernel "
     "never takes one back",
     Column::hidden},
    {"version", ColumnType::text, "MODULE_VERSION; most have none", Column::hidden},
    {"srcversion", ColumnType::text, "a hash of its sources, where the module has one",
     Column::hidden},
    {"parameters", ColumnType::list, "names of those in /sys/module/NAME/parameters",
     Column::hidden},
    {"text", ColumnType::address, "start of its code", Column::hidden},
    {"text_size", ColumnType::size, "bytes of code", Column::hidden},
    {"rodata", ColumnType::address, "start of its read-only data", Column::hidden},
    {"rodata_size", ColumnType::size, "bytes of read-only data", Column::hidden},
    {"ro_after_init", ColumnType::address, "start of what is read-only once it is initialized",
     Column::hidden},
    {"ro_after_init_size", ColumnType::size, "bytes of that", Column::hidden},
    {"data", ColumnType::address, "start of its data", Column::hidden},
    {"data_size", ColumnType::size, "bytes of data", Column::hidden},
    {"init_size", ColumnType::size, "bytes of its init sections, while they are there",
     Column::hidden},
    {"init", ColumnType::address, "its init function; no code is left there once it is live",
     Column::hidden},
    {"exit", ColumnType::address, "its exit function; absent: it cannot be unloaded",
     Column::hidden},
    {"exit_symbol", ColumnType::text, "the exit function's name", Column::hidden},
    {"has_btf", ColumnType::boolean, "the kernel keeps its types (/sys/kernel/btf/NAME)",
     Column::hidden},
    {"build_id", ColumnType::text, "of its ELF note, lower-case hexadecimal", Column::hidden},
    {"address", ColumnType::address, "of its struct module", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "modules",
    .summary = "loaded kernel modules: /proc/modules and /sys/module",
    .columns = kColumns,
    .order = "as /proc/modules: the newest first",
    .key = "address",
};

constexpr std::size_t kTextLimit = 1024;  // of a version
constexpr std::uint32_t kMaxParameters = 4096;
constexpr std::uint64_t kMaxNotes = 64;

/// How a module's ELF notes are found: module_notes_attrs, which sysfs reads.
struct NotesLayout {
  std::optional<std::uint32_t> count;     ///< .notes; until 6.13
  std::optional<std::uint32_t> pointers;  ///< .grp.bin_attrs, ended by NULL; since
  std::uint32_t attributes = 0;           ///< .attrs, of struct bin_attribute
  std::uint64_t stride = 0;
  std::uint32_t size = 0, data = 0;  ///< bin_attribute.size, .private
  bool known = false;

  static NotesLayout find(const TypeCatalogue& types) {
    Offsets of(types);
    NotesLayout layout;
    layout.count = of.find("module_notes_attrs.notes");
    layout.pointers = of.find("module_notes_attrs.grp.bin_attrs");
    layout.attributes = of.need("module_notes_attrs.attrs");
    layout.stride = of.need_size("bin_attribute");
    layout.size = of.need("bin_attribute.size");
    layout.data = of.need("bin_attribute.private");
    layout.known = !of.missing() && (layout.count || layout.pointers);
    return layout;
  }
};

std::string hexadecimal(Bytes bytes) {
  std::string text;
  for (const auto byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return text;
}

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, const ModuleLayout& layout)
      : kernel_(kernel),
        memory_(kernel.memory()),
        layout_(layout),
        notes_(NotesLayout::find(kernel.types())) {
    const Offsets of(kernel.types());
    param_size_ = kernel.types().size_of("kernel_param").value_or(0);
    param_name_ = of.find("kernel_param.name").value_or(0);
    param_perm_ = of.find("kernel_param.perm").value_or(0);
    btf_list_ = of.find("btf_module.list");
    btf_owner_ = of.find("btf_module.module");
    tainted_ = kernel.symbols().find("tainted_mask");
  }

  Outcome<Tally> read(RowSink& rows) override {
    auto list = TRY(read_modules(kernel_));
    Tally tally;
    tally.retries = list.retries;
    tally.truncated = list.truncated;
    tally.dropped = 0;
    tally.warnings = std::move(list.warnings);
    // Of the kernel after its modules: one that is loaded meanwhile taints the kernel first.
    std::optional<std::uint64_t> tainted;
    if (tainted_ && rows.wants(kTaintsUntold)) {
      if (const auto mask = memory_.load<std::uint64_t>(*tainted_))
        tainted = *mask;
      else
        tally.warnings.push_back("taints_untold: tainted_mask cannot be read");
    }
    const auto with_btf = rows.wants(kHasBtf) ? owners_of_btf(tally) : std::nullopt;
    for (const Module& module : list.modules) {
      rows.begin();
      fill(rows, module);
      if (tainted) rows.set(kTaintsUntold, taint_letters(module.taints & ~*tainted));
      if (with_btf)
        rows.set(kHasBtf, std::ranges::find(*with_btf, module.address) != with_btf->end());
      // sysfs has not been told yet of one that loads, and no longer of one that goes.
      if (!module.leads_back && module.state == ModuleState::live)
        rows.doubt("mkobj.mod is another module");
      if (!rows.end()) break;
    }
    return tally;
  }

  [[nodiscard]] std::vector<MissingColumns> missing_columns() const override {
    std::vector<MissingColumns> missing;
    const auto absent = [&](bool there, std::string_view column, const char* why) {
      if (!there) missing.push_back({{column}, why});
    };
    absent(layout_.source_list.has_value(), "used_by", "module.source_list is not in this kernel");
    absent(layout_.refcount.has_value(), "references", "module.refcnt is not in this kernel");
    absent(layout_.exit.has_value(), "exit", "module.exit is not in this kernel");
    absent(tainted_.has_value(), "taints_untold", "tainted_mask is not among the symbols");
    absent(notes_.known || layout_.build_id, "build_id",
           "module.notes_attrs is not in this kernel");
    return missing;
  }

 private:
  void fill(RowSink& rows, const Module& module) {
    rows.set(kName, module.name);
    rows.set(kSize, static_cast<std::int64_t>(module.size));
    if (module.references) rows.set(kReferences, std::int64_t{*module.references});
    if (rows.wants(kUsedBy) && layout_.source_list) {
      auto users = read_module_users(memory_, layout_, module);
      if (users) {
        rows.set(kUsedBy, *std::move(users));
      } else {
        rows.doubt("its users cannot be read");
      }
    }
    rows.set(kState, std::string(name(module.state)));
    rows.set(kCore, module.core.value);
    rows.set(kTaints, taint_letters(module.taints));
    if (rows.wants(kVersion)) set_text(rows, kVersion, module.version);
    if (rows.wants(kSrcversion)) set_text(rows, kSrcversion, module.srcversion);
    if (rows.wants(kParameters)) set_parameters(rows, module);
    const auto part = [&](std::size_t start, std::size_t size, ModulePart which) {
      const auto& range = module.parts[which];
      if (range.size != 0) rows.set(start, range.start.value);
      rows.set(size, static_cast<std::int64_t>(range.size));
    };
    part(kText, kTextSize, kModuleText);
    part(kRodata, kRodataSize, kModuleRodata);
    part(kRoAfterInit, kRoAfterInitSize, kModuleRoAfterInit);
    part(kData, kDataSize, kModuleData);
    rows.set(kInitSize, static_cast<std::int64_t>(module.parts[kModuleInitText].size +
                                                  module.parts[kModuleInitData].size +
                                                  module.parts[kModuleInitRodata].size));
    if (module.init != 0) rows.set(kInit, module.init);
    if (module.exit != 0) {
      rows.set(kExit, module.exit);
      if (rows.wants(kExitSymbol)) set_exit_symbol(rows, module);
    }
    if (rows.wants(kBuildId)) set_build_id(rows, module);
    rows.set(kAddress, module.address.value);
  }

  void set_text(RowSink& rows, std::size_t column, std::uint64_t pointer) {
    if (pointer == 0) return;
    auto text = memory_.load_string(Gva{pointer}, kTextLimit);
    if (text) rows.set(column, *std::move(text));
  }

  // cleanup_module and the function it is an alias of have one address: the latter says more.
  void set_exit_symbol(RowSink& rows, const Module& module) {
    auto names = read_names_at(memory_, layout_, module, Gva{module.exit});
    if (!names || names->empty()) return;
    const auto best = std::ranges::find_if(*names, [](const std::string& one) {
      return one != "cleanup_module" && !one.starts_with("__pfx_");
    });
    rows.set(kExitSymbol, best != names->end() ? std::move(*best) : std::move(names->front()));
  }

  // Those without permissions are not in sysfs, and of an array that takes one name for
  // several entries, one is.
  void set_parameters(RowSink& rows, const Module& module) {
    std::vector<std::string> names;
    if (module.parameter_count > kMaxParameters || param_size_ == 0 || param_size_ > kKiB) {
      rows.doubt("its parameters are not to be believed");
      return;
    }
    std::vector<std::byte> table(module.parameter_count * param_size_);
    if (!table.empty()) {
      if (auto done = memory_.read(Gva{module.parameters}, table); !done) {
        rows.doubt("its parameters cannot be read");
        return;
      }
    }
    for (std::uint64_t i = 0; i < module.parameter_count; ++i) {
      const auto at = i * param_size_;
      if (load<std::uint16_t>(table, at + param_perm_).value_or(0) == 0) continue;
      auto text = memory_.load_string(Gva{load<std::uint64_t>(table, at + param_name_).value_or(0)},
                                      kTextLimit);
      if (!text) {
        rows.doubt("a parameter's name cannot be read");
        return;
      }
      names.push_back(*std::move(text));
    }
    rows.set(kParameters, std::move(names));
  }

  void set_build_id(RowSink& rows, const Module& module) {
    if (!module.build_id.empty()) {
      rows.set(kBuildId, hexadecimal(module.build_id));
      return;
    }
    if (module.notes == 0 || !notes_.known) return;
    const Gva notes{module.notes};
    const auto word = [&](Gva at) { return memory_.load<std::uint64_t>(at).value_or(0); };
    std::uint64_t count = kMaxNotes;
    if (notes_.count)
      count = std::min<std::uint64_t>(
          memory_.load<std::uint32_t>(notes + *notes_.count).value_or(0), kMaxNotes);
    for (std::uint64_t i = 0; i < count; ++i) {
      Gva attribute = notes + notes_.attributes + i * notes_.stride;
      if (!notes_.count) {
        attribute = Gva{word(Gva{word(notes + *notes_.pointers)} + i * 8)};
        if (!attribute) break;
      }
      if (auto id =
              build_id_in(Gva{word(attribute + notes_.data)}, word(attribute + notes_.size))) {
        rows.set(kBuildId, *std::move(id));
        return;
      }
    }
  }

  /// The descriptor of a note of type NT_GNU_BUILD_ID, owner "GNU".
  std::optional<std::string> build_id_in(Gva section, std::uint64_t size) const {
    std::vector<std::byte> bytes(std::min<std::uint64_t>(size, kPageSize));
    if (bytes.empty() || !memory_.read(section, bytes)) return std::nullopt;
    for (std::uint64_t at = 0; at + 12 <= bytes.size();) {
      const std::uint64_t name_size = load<std::uint32_t>(bytes, at).value_or(0);
      const std::uint64_t data_size = load<std::uint32_t>(bytes, at + 4).value_or(0);
      const auto type = load<std::uint32_t>(bytes, at + 8).value_or(0);
      const auto data_at = at + 12 + (name_size + 3) / 4 * 4;
      const auto data = slice(bytes, data_at, data_size);
      if (!data) return std::nullopt;
      if (type == 3 && load_string(bytes, at + 12, name_size) == "GNU") return hexadecimal(*data);
      at = data_at + (data_size + 3) / 4 * 4;
    }
    return std::nullopt;
  }

  /// The modules whose types the kernel keeps; nothing if it keeps none of any.
  std::optional<std::vector<Gva>> owners_of_btf(Tally& tally) const {
    std::vector<Gva> owners;
    const auto head = kernel_.symbols().find("btf_modules");
    if (!head || !btf_list_ || !btf_owner_) return owners;
    bool read = true;
    const auto walked = walk_list(memory_, *head, kMaxModules, [&](Gva node) {
      const auto owner = memory_.load<std::uint64_t>(node - *btf_list_ + *btf_owner_);
      read = read && owner.has_value();
      if (owner) owners.push_back(Gva{*owner});
      return true;
    });
    if (walked.complete() && read) return owners;
    tally.warnings.emplace_back("has_btf: the list btf_modules cannot be followed to its end");
    return std::nullopt;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  ModuleLayout layout_;
  NotesLayout notes_;
  std::uint64_t param_size_ = 0;
  std::uint32_t param_name_ = 0, param_perm_ = 0;
  std::optional<std::uint32_t> btf_list_, btf_owner_;
  std::optional<Gva> tainted_;  // tainted_mask
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  TRY(kernel.symbol("modules"));
  if (!kernel.has_types()) {
    return std::unexpected(Problem(Errc::unsupported,
                                   "modules cannot be read without the kernel's types",
                                   "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"));
  }
  const auto layout = TRY(ModuleLayout::find(kernel.types()));
  return std::make_unique<Reader>(kernel, layout);
}

}  // namespace

const View modules_view(kInfo, open);

}  // namespace vitrine::linux
