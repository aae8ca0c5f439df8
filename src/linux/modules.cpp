#include "linux/modules.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kMaxStructModule = 16 * kKiB;
constexpr std::uint64_t kMaxPart = 256 * kMiB;
constexpr std::size_t kMaxUsers = 1024;
constexpr int kAttempts = 4;

ModuleLayout::Memory memory_layout(const TypeCatalogue& types, Offsets& of) {
  static constexpr std::array<std::string_view, kModuleParts> kNames = {
      "MOD_TEXT",      "MOD_DATA",      "MOD_RODATA",     "MOD_RO_AFTER_INIT",
      "MOD_INIT_TEXT", "MOD_INIT_DATA", "MOD_INIT_RODATA"};
  ModuleLayout::Memory memory;
  memory.first = of.need("module.mem");
  memory.stride = of.need_size("module_memory");
  memory.base = of.need("module_memory.base");
  memory.size = of.need("module_memory.size");
  const auto count = memory.stride == 0 ? 0 : of.size("module.mem") / memory.stride;
  for (std::size_t part = 0; part < kNames.size(); ++part) {
    const auto value = types.find_enumerator(kNames[part]);
    const bool there = value && *value >= 0 && static_cast<std::uint64_t>(*value) < count;
    memory.index[part] = there ? static_cast<std::uint8_t>(*value) : std::uint8_t{0xff};
  }
  return memory;
}

ModuleLayout::Allocation allocation(Offsets& of, const std::string& member) {
  return {.base = of.need("module." + member + ".base"),
          .size = of.need("module." + member + ".size"),
          .text_size = of.need("module." + member + ".text_size"),
          .ro_size = of.need("module." + member + ".ro_size"),
          .ro_after_init_size = of.need("module." + member + ".ro_after_init_size")};
}

/// What the fields of one struct module are taken from: its bytes, read at once.
class Fields {
 public:
  explicit Fields(Bytes bytes) : bytes_(bytes) {}
  template <class T>
  [[nodiscard]] T get(std::uint64_t offset) const {
    return load<T>(bytes_, offset).value_or(T{});
  }
  template <class T>
  [[nodiscard]] T get(const std::optional<std::uint32_t>& offset) const {
    return offset ? get<T>(*offset) : T{};
  }

 private:
  Bytes bytes_;
};

void read_parts(const ModuleLayout& layout, const Fields& fields, Module& module) {
  if (layout.memory) {
    for (std::size_t part = 0; part < kModuleParts; ++part) {
      const auto index = layout.memory->index[part];
      if (index == 0xff) continue;
      const auto at = layout.memory->first + index * layout.memory->stride;
      module.parts[part] = {Gva{fields.get<std::uint64_t>(at + layout.memory->base)},
                            fields.get<std::uint32_t>(at + layout.memory->size)};
    }
    module.core = module.parts[kModuleText].start;
  } else {
    const auto split = [&](const ModuleLayout::Allocation& from, ModulePart text, ModulePart rodata,
                           std::optional<ModulePart> after, ModulePart data) {
      const Gva base{fields.get<std::uint64_t>(from.base)};
      const std::uint64_t size = fields.get<std::uint32_t>(from.size);
      const auto until = [&](std::uint32_t offset, std::uint64_t least) {
        return std::clamp<std::uint64_t>(fields.get<std::uint32_t>(offset), least,
                                         std::max(least, size));
      };
      const auto text_end = until(from.text_size, 0);
      const auto ro_end = until(from.ro_size, text_end);
      const auto after_end = until(from.ro_after_init_size, ro_end);
      module.parts[text] = {base, text_end};
      module.parts[rodata] = {base + text_end, ro_end - text_end};
      if (after) module.parts[*after] = {base + ro_end, after_end - ro_end};
      module.parts[data] = {base + after_end, size - std::min(size, after_end)};
      return base;
    };
    module.core = split(layout.core, kModuleText, kModuleRodata, kModuleRoAfterInit, kModuleData);
    split(layout.initial, kModuleInitText, kModuleInitRodata, {}, kModuleInitData);
  }
  for (const auto& part : module.parts) module.size += part.size;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

std::string_view name(ModuleState state) noexcept {
  switch (state) {
    case ModuleState::live:
      return "Live";
    case ModuleState::coming:
      return "Loading";
    case ModuleState::going:
      return "Unloading";
    case ModuleState::unformed:
      return "Unformed";
  }
  return "unknown";
}

bool Module::contains(Gva at) const {
  return std::ranges::any_of(parts, [&](const ModuleRange& part) { return part.contains(at); });
}

Outcome<ModuleLayout> ModuleLayout::find(const TypeCatalogue& types) {
  Offsets of(types);
  ModuleLayout layout;
  layout.size = of.need_size("module");
  layout.state = of.need("module.state");
  layout.list = of.need("module.list");
  layout.name = of.need("module.name");
  layout.name_size = of.size("module.name");
  layout.mkobj_mod = of.need("module.mkobj.mod");
  layout.version = of.need("module.version");
  layout.srcversion = of.need("module.srcversion");
  layout.syms = of.need("module.syms");
  layout.num_syms = of.need("module.num_syms");
  layout.taints = of.need("module.taints");
  layout.kallsyms = of.need("module.kallsyms");
  layout.init = of.need("module.init");
  layout.kp = of.need("module.kp");
  layout.num_kp = of.need("module.num_kp");
  layout.source_list = of.find("module.source_list");
  layout.exit = of.find("module.exit");
  layout.refcount = of.find("module.refcnt");
  layout.notes_attrs = of.find("module.notes_attrs");
  layout.btf_data_size = of.find("module.btf_data_size");
  layout.build_id = of.find("module.build_id");
  layout.build_id_size = of.size("module.build_id");
  if (of.find("module.mem")) {
    layout.memory = memory_layout(types, of);
  } else {
    layout.core = allocation(of, "core_layout");
    layout.initial = allocation(of, "init_layout");
  }
  layout.symtab = of.need("mod_kallsyms.symtab");
  layout.num_symtab = of.need("mod_kallsyms.num_symtab");
  layout.strtab = of.need("mod_kallsyms.strtab");
  layout.typetab = of.need("mod_kallsyms.typetab");
  layout.export_size = of.need_size("kernel_symbol");
  layout.relative_exports = of.find("kernel_symbol.value_offset").has_value();
  layout.export_value =
      of.need(layout.relative_exports ? "kernel_symbol.value_offset" : "kernel_symbol.value");
  layout.export_name =
      of.need(layout.relative_exports ? "kernel_symbol.name_offset" : "kernel_symbol.name");
  if (layout.source_list) {
    layout.use_source_list = of.need("module_use.source_list");
    layout.use_source = of.need("module_use.source");
  }
  if (of.missing()) return std::unexpected(*of.missing());
  if (layout.size > kMaxStructModule || layout.name_size == 0 || layout.name_size > 4 * kKiB ||
      layout.export_size == 0 || layout.build_id_size > 64) {
    return std::unexpected(Problem(Errc::implausible, "this kernel's struct module is not one"));
  }
  return layout;
}

Result<Module> read_module(const VirtualMemory& memory, const ModuleLayout& layout, Gva address) {
  std::vector<std::byte> bytes(layout.size);
  if (auto done = memory.read(address, bytes); !done) return std::unexpected(done.error());
  const Fields fields(bytes);

  Module module;
  module.address = address;
  const auto state = fields.get<std::uint32_t>(layout.state);
  if (state > 3) return fail(Errc::malformed, address.value, "module.state");
  module.state = static_cast<ModuleState>(state);
  const auto text = load_string(bytes, layout.name, layout.name_size);
  if (!text || !is_name(*text)) return fail(Errc::malformed, address.value, "module.name");
  module.name = *text;
  module.leads_back = fields.get<std::uint64_t>(layout.mkobj_mod) == address.value;

  read_parts(layout, fields, module);
  for (const auto& part : module.parts) {
    if (part.size > kMaxPart) return fail(Errc::implausible, address.value, "a module's size");
  }
  module.taints = fields.get<std::uint64_t>(layout.taints);
  module.kallsyms = fields.get<std::uint64_t>(layout.kallsyms);
  module.syms = fields.get<std::uint64_t>(layout.syms);
  module.export_count = fields.get<std::uint32_t>(layout.num_syms);
  module.version = fields.get<std::uint64_t>(layout.version);
  module.srcversion = fields.get<std::uint64_t>(layout.srcversion);
  module.parameters = fields.get<std::uint64_t>(layout.kp);
  module.parameter_count = fields.get<std::uint32_t>(layout.num_kp);
  module.notes = fields.get<std::uint64_t>(layout.notes_attrs);
  module.btf_size = fields.get<std::uint32_t>(layout.btf_data_size);
  module.init = fields.get<std::uint64_t>(layout.init);
  module.exit = fields.get<std::uint64_t>(layout.exit);
  // MODULE_REF_BASE: a loaded module holds one reference to itself.
  if (layout.refcount) module.references = fields.get<std::int32_t>(*layout.refcount) - 1;
  if (layout.build_id) {
    if (const auto id = slice(bytes, *layout.build_id, layout.build_id_size);
        id && std::ranges::any_of(*id, [](std::byte b) { return b != std::byte{0}; })) {
      module.build_id.assign(id->begin(), id->end());
    }
  }
  return module;
}

Walked for_each_module(const VirtualMemory& memory, const ModuleLayout& layout, Gva head,
                       const std::function<bool(const Module&)>& visit,
                       const std::function<void(Gva, const Error&)>& unreadable) {
  return walk_list(memory, head, kMaxModules, [&](Gva node) {
    const Gva address = node - layout.list;
    const auto module = read_module(memory, layout, address);
    if (module) return visit(*module);
    if (unreadable) unreadable(address, module.error());
    return true;
  });
}

Outcome<ModuleList> read_modules(const Kernel& kernel) {
  const auto head = TRY(kernel.symbol("modules"));
  if (!kernel.has_types()) {
    return std::unexpected(Problem(Errc::unsupported,
                                   "modules cannot be read without the kernel's types",
                                   "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"));
  }
  const auto layout = TRY(ModuleLayout::find(kernel.types()));
  ModuleList list;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    list.modules.clear();
    list.warnings.clear();
    const auto walked = for_each_module(
        kernel.memory(), layout, head,
        [&](const Module& module) {
          list.modules.push_back(module);
          return true;
        },
        [&](Gva at, const Error& error) {
          list.warnings.push_back(
              fmt::format("the module at {:#x}: {}", at.value, describe(error)));
        });
    list.truncated = walked.truncated;
    if (walked.broken) {
      list.warnings.push_back(fmt::format("the list of modules: {}", describe(*walked.broken)));
    }
    if (walked.mismatches != 0) {
      list.warnings.push_back("the list of modules: a pointer back does not lead back");
    }
    if (list.warnings.empty() || !kernel.machine().live()) break;
    ++list.retries;
  }
  // Modules that share an address came by a loop: the list closed elsewhere than at its head.
  std::vector<Gva> seen;
  std::erase_if(list.modules, [&](const Module& module) {
    const auto at = std::ranges::lower_bound(seen, module.address);
    if (at != seen.end() && *at == module.address) return true;
    seen.insert(at, module.address);
    return false;
  });
  return list;
}

Result<std::vector<std::string>> read_module_users(const VirtualMemory& memory,
                                                   const ModuleLayout& layout,
                                                   const Module& module) {
  std::vector<std::string> users;
  if (!layout.source_list) return users;
  std::optional<Error> unreadable;
  const auto walked =
      walk_list(memory, module.address + *layout.source_list, kMaxUsers, [&](Gva node) {
        const auto use = node - layout.use_source_list;
        const auto source = memory.load<std::uint64_t>(use + layout.use_source);
        if (!source) {
          unreadable = source.error();
          return true;
        }
        auto text = memory.load_string(Gva{*source} + layout.name, layout.name_size);
        if (text && is_name(*text)) {
          users.push_back(std::move(*text));
        } else {
          unreadable = text ? Error{Errc::malformed, *source, "module.name"} : text.error();
        }
        return true;
      });
  if (unreadable) return std::unexpected(*unreadable);
  if (walked.broken) return std::unexpected(*walked.broken);
  return users;
}

std::string taint_letters(std::uint64_t taints) {
  static constexpr std::string_view kLetters = "PFSRMBUDAWCIOELKXTNJ";
  std::string letters;
  for (unsigned bit = 0; bit < 64; ++bit) {
    if ((taints >> bit & 1) != 0) letters += bit < kLetters.size() ? kLetters[bit] : '?';
  }
  return letters;
}

}  // namespace vitrine::linux
