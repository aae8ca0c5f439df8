// The loaded modules, as the kernel's own list has them.
//
// The three types that matter: ModuleLayout (where this kernel keeps what), Module (one
// struct module, read and checked), ModuleRange (where its parts lie).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/symbols.h"
#include "linux/walk/walk.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

class Kernel;
class TypeCatalogue;

/// Bounds of every walk here. Real kernels have some hundred modules and at most some ten
/// thousand symbols each.
inline constexpr std::size_t kMaxModules = 8192;
inline constexpr std::size_t kMaxModuleSymbols = 1U
                                                 << 20;  ///< of one module, and thrice that of all

enum class ModuleState : std::uint8_t { live, coming, going, unformed };
/// As /proc/modules prints it: "Live", "Loading", "Unloading"; "Unformed" is in no listing.
[[nodiscard]] std::string_view name(ModuleState state) noexcept;

/// A module's memory, by what it holds. In the order of Linux 6.4's enum mod_mem_type.
enum ModulePart : std::uint8_t {
  kModuleText,
  kModuleData,
  kModuleRodata,
  kModuleRoAfterInit,
  kModuleInitText,
  kModuleInitData,
  kModuleInitRodata,
  kModuleParts
};

struct ModuleRange {
  Gva start;
  std::uint64_t size = 0;  ///< 0: the module has no such part (init parts: no longer)
  [[nodiscard]] bool contains(Gva at) const { return at - start < size; }
};

/// Where this kernel keeps what is read of a module; offsets in bytes.
struct ModuleLayout {
  std::uint64_t size = 0;  ///< of struct module
  std::uint32_t state = 0, list = 0, name = 0, mkobj_mod = 0;
  std::uint64_t name_size = 0;
  std::uint32_t version = 0, srcversion = 0;
  std::uint32_t syms = 0, num_syms = 0;
  std::uint32_t taints = 0, kallsyms = 0, init = 0;
  std::uint32_t kp = 0, num_kp = 0;
  // With CONFIG_MODULE_UNLOAD.
  std::optional<std::uint32_t> source_list, exit, refcount;
  std::optional<std::uint32_t> notes_attrs, btf_data_size, build_id;
  std::uint64_t build_id_size = 0;

  // From 6.4 on an array of ranges (commit ac3b43283923), by enum mod_mem_type.
  struct Memory {
    std::uint32_t first = 0;   ///< module.mem
    std::uint64_t stride = 0;  ///< of one struct module_memory
    std::uint32_t base = 0, size = 0;
    std::array<std::uint8_t, kModuleParts> index{};  ///< 0xff: this kernel has no such part
  };
  std::optional<Memory> memory;
  // Until 6.3 two allocations, each in the order text, rodata, ro_after_init, data.
  struct Allocation {
    std::uint32_t base = 0, size = 0, text_size = 0, ro_size = 0, ro_after_init_size = 0;
  };
  Allocation core, initial;

  // struct mod_kallsyms
  std::uint32_t symtab = 0, num_symtab = 0, strtab = 0, typetab = 0;
  // struct kernel_symbol: 32-bit self-relative (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS) or pointers.
  bool relative_exports = true;
  std::uint64_t export_size = 0;
  std::uint32_t export_value = 0, export_name = 0;
  // struct module_use
  std::uint32_t use_source_list = 0, use_source = 0;

  /// @returns not_found  a member without which modules cannot be read; the message names it
  [[nodiscard]] static Outcome<ModuleLayout> find(const TypeCatalogue& types);
};

/// One module, as its struct module says.
struct Module {
  Gva address;  ///< of struct module
  std::string name;
  ModuleState state = ModuleState::live;
  std::array<ModuleRange, kModuleParts> parts;
  Gva core;                ///< the address that /proc/modules prints
  std::uint64_t size = 0;  ///< the size that /proc/modules prints: all parts there still are
  std::uint64_t taints = 0;
  std::uint64_t kallsyms = 0, syms = 0, version = 0, srcversion = 0, parameters = 0, notes = 0;
  std::uint32_t export_count = 0, parameter_count = 0, btf_size = 0;
  std::uint64_t init = 0, exit = 0;        ///< functions; 0: none
  std::optional<std::int32_t> references;  ///< module_refcount()
  std::vector<std::byte> build_id;         ///< with CONFIG_STACKTRACE_BUILD_ID
  bool leads_back = true;                  ///< mkobj.mod is this module

  [[nodiscard]] bool contains(Gva at) const;
};

/// The struct module at `address`.
/// @returns malformed    no name, or one with unprintable bytes; a state that is none
/// @returns not_present, not_canonical, outside_ram  it cannot be read
[[nodiscard]] Result<Module> read_module(const VirtualMemory& memory, const ModuleLayout& layout,
                                         Gva address);

/// Calls `visit` for each module in the list at `head` (the symbol `modules`), newest
/// first, until it answers false. Bounded by kMaxModules. Modules that cannot be read are
/// handed to `unreadable`, if given, and passed over.
[[nodiscard]] Walked for_each_module(const VirtualMemory& memory, const ModuleLayout& layout,
                                     Gva head, const std::function<bool(const Module&)>& visit,
                                     const std::function<void(Gva, const Error&)>& unreadable = {});

/// The modules of a kernel, in the order of /proc/modules. Retried while the list changes under us.
struct ModuleList {
  std::vector<Module> modules;
  std::size_t retries = 0;
  std::vector<std::string> warnings;  ///< a sentence each: what could not be read, and where
  bool truncated = false;
};
/// @returns not_found  no symbol `modules` (a kernel without CONFIG_MODULES), or no types
[[nodiscard]] Outcome<ModuleList> read_modules(const Kernel& kernel);

/// Names of the modules that use this one (/proc/modules' fourth column, in its order).
[[nodiscard]] Result<std::vector<std::string>> read_module_users(const VirtualMemory& memory,
                                                                 const ModuleLayout& layout,
                                                                 const Module& module);

/// One line of /proc/kallsyms after the kernel's own symbols.
struct ModuleSymbol {
  Gva address;
  char type = '?';          ///< as nm; upper case: exported by EXPORT_SYMBOL
  std::string_view name;    ///< lives for the call
  std::string_view module;  ///< or "bpf", "__builtin__ftrace", "__builtin__kprobes"
};

struct SymbolWalk {
  std::size_t symbols = 0;
  std::size_t retries = 0;
  bool truncated = false;             ///< a bound was reached: there may be more
  std::vector<std::string> warnings;  ///< a sentence each: what could not be read
};

/// Calls `visit` for the symbols of one module, in its own order, until it answers false.
///
/// These are what /proc/kallsyms prints of it: the core symbols once it is initialized (its
/// whole symbol table, undefined symbols included, while it loads), without those that have
/// no name. A type is in upper case if the symbol stands in the module's __ksymtab with the
/// same value (is_exported()).
/// Errors: as VirtualMemory::read; too_large.
/// Source: kernel/module.c, from 5.19 kernel/module/kallsyms.c: module_get_kallsym(); s_show().
[[nodiscard]] Result<std::size_t> for_each_symbol_of(
    const VirtualMemory& memory, const ModuleLayout& layout, const Module& module,
    std::uint64_t name_limit, const std::function<bool(const ModuleSymbol&)>& visit);

/// The names that a module's symbols give to `address`, in its own order. Errors as
/// for_each_symbol_of(). Cost: one read of the table of symbols; names are read where the address
/// is right.
[[nodiscard]] Result<std::vector<std::string>> read_names_at(const VirtualMemory& memory,
                                                             const ModuleLayout& layout,
                                                             const Module& module, Gva address);

/// Calls `visit` for all that /proc/kallsyms prints after the kernel's own symbols, in its
/// order: the modules in the order of their list, functions that ftrace remembers of
/// discarded init sections, ftrace trampolines, BPF programs, pages of kprobes. (Of those
/// remembered functions the kernel prints the first twice and the last never; here, each once.
/// BPF programs are given also where net.core.bpf_jit_kallsyms hides them from readers.)
/// @returns not_found, unsupported  as read_modules()
[[nodiscard]] Outcome<SymbolWalk> for_each_module_symbol(
    const Kernel& kernel, const std::function<bool(const ModuleSymbol&)>& visit);

/// The same as a table. Two modules never share a number, even if they share a name.
[[nodiscard]] Outcome<SymbolTable> read_module_symbols(const Kernel& kernel);

/// A module's types: BTF that builds upon the kernel's own.
struct ModuleBtf {
  std::string module;
  std::vector<std::byte> blob;  ///< equal to /sys/kernel/btf/MODULE
};

/// The BTF of all modules that have some, in the order in which they were loaded.
///
/// The section itself (module.btf_data) is discarded after loading; what stays is the copy
/// that the kernel parsed: btf_modules -> btf_module.btf -> data. Where the section was built
/// upon a distilled base (out-of-tree modules, 6.11), that copy has been relocated to vmlinux.
/// Empty for kernels that keep none (before 5.11, or without CONFIG_DEBUG_INFO_BTF_MODULES).
/// @returns unsupported  a kernel without types
/// Cost: one read of each blob.
/// Source: kernel/bpf/btf.c, commit 36e68442d1af (5.11): btf_module_notify().
struct ModuleBtfList {
  std::vector<ModuleBtf> modules;
  std::vector<std::string> warnings;
  bool truncated = false;
};
[[nodiscard]] Outcome<ModuleBtfList> read_module_btf(const Kernel& kernel);

/// The letters of a taint mask, as in /proc/modules and in an oops ("POE"); a bit without
/// a letter is '?'.
/// Source: Documentation/admin-guide/tainted-kernels.rst: the letters are ABI; 'J' since 6.16.
[[nodiscard]] std::string taint_letters(std::uint64_t taints);

}  // namespace vitrine::linux
