// Kernel: a guest's Linux kernel, found in its memory and understood.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/symbols.h"
#include "machine/machine.h"
#include "memory/read_ahead.h"
#include "memory/witnessed_memory.h"
#include "x86/address_space.h"

namespace vitrine::linux {

class TypeCatalogue;

/// Who this kernel is and where it lies. All of it was read from the guest.
struct Identity {
  std::string banner;      ///< linux_banner, without the newline: "Linux version 6.1.0-..."
  std::string release;     ///< "6.1.0-37-amd64"
  std::string build_id;    ///< of the kernel's own ELF note, lower-case hexadecimal; empty if none
  Gva text;                ///< _text as it runs
  std::int64_t slide = 0;  ///< KASLR: text minus where it was linked
  Gpa text_physical;       ///< where _text lies in RAM
  Gva direct_map;          ///< page_offset_base: physical 0 as the kernel sees it
  Gva vmemmap;             ///< vmemmap_base
  Gva vmalloc;             ///< vmalloc_base
  unsigned levels = 4;     ///< of its page tables
  bool page_table_isolation = false;  ///< KPTI
};

/// What the attach found out about itself; printed by `vitrine info` and by anything
/// that shows a warning.
struct Health {
  /// not_known: this kernel does not tell what it takes to answer; nothing speaks against it
  /// either.
  enum class Verdict : std::uint8_t { passed, failed, not_known };
  struct Check {
    std::string name;  ///< "init_task", "task list", "current tasks", "types", "memory map"
    Verdict verdict = Verdict::failed;
    std::string detail;  ///< "swapper/0", "97 tasks, closed", "cpu 1: not in the task list"; or why
  };
  std::vector<Check> checks;
  std::vector<std::string> notes;     ///< what was recovered, from where, in how long
  std::vector<std::string> warnings;  ///< what is missing or doubtful
  /// Every check passed. What could not be checked is not sure either.
  [[nodiscard]] bool ok() const;
};

struct AttachOptions {
  /// Where recovered kernels are kept, by build id; empty: no cache.
  std::string cache_directory;
};

/// $XDG_CACHE_HOME/vitrine, or ~/.cache/vitrine; empty if neither is known.
[[nodiscard]] std::string default_cache_directory();

/// An attached kernel. Everything it hands out is valid while it lives.
/// Threads: one at a time.
class Kernel {
 public:
  /// Finds the kernel in `machine` (which must outlive the result), recovers its
  /// symbols and types, or takes them from the cache and verifies them, and runs the
  /// self-test.
  /// @returns not_found   no Linux kernel is there (yet): firmware, boot loader, another system
  /// @returns unsupported a kernel without kallsyms
  /// Cost: milliseconds from registers and cache; a scan of the populated RAM at worst.
  static Outcome<std::unique_ptr<Kernel>> attach(const Machine& machine,
                                                 const AttachOptions& options);

  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  ~Kernel();

  [[nodiscard]] const Machine& machine() const;
  /// The machine's memory, witnessed: whoever reads a table can say whether the host failed it.
  [[nodiscard]] const WitnessedMemory& ram() const;
  /// The kernel's address space (never a KPTI user half).
  [[nodiscard]] const x86::AddressSpace& memory() const;
  /// What memory() reads through: a view that is read again and again makes its looks here.
  [[nodiscard]] const ReadAhead& read_ahead() const;

  [[nodiscard]] const Identity& identity() const;
  [[nodiscard]] const Health& health() const;

  /// vmlinux alone. Modules: see module_symbols().
  [[nodiscard]] const SymbolTable& symbols() const;
  /// The symbols of the loaded modules, read at the first call after refresh().
  [[nodiscard]] const SymbolTable& module_symbols() const;
  /// The guest's own types. Empty (no type has a name) for a kernel without BTF.
  [[nodiscard]] const TypeCatalogue& types() const;
  [[nodiscard]] bool has_types() const;

  /// A vmlinux symbol's address. @returns not_found, its message naming the symbol.
  [[nodiscard]] Outcome<Gva> symbol(std::string_view name) const;

  /// Possible CPUs (nr_cpu_ids), at most 8192.
  [[nodiscard]] unsigned cpu_count() const;
  /// Its kallsyms has variables, too (CONFIG_KALLSYMS_ALL): one that is not there does not exist.
  [[nodiscard]] bool lists_data() const;
  /// It was built for one CPU (no CONFIG_SMP).
  [[nodiscard]] bool one_cpu() const;
  /// Where CPU `cpu` keeps the per-CPU variable at `variable` (a symbol's address, or
  /// a pointer marked __percpu).
  [[nodiscard]] Result<Gva> per_cpu(Gva variable, unsigned cpu) const;

  /// The page tables of an mm_struct: `x86::AddressSpace memory(kernel.ram(), root)`
  /// is that process's memory.
  [[nodiscard]] Result<x86::PageRoot> user_root(Gva mm) const;

  /// Forgets what may have changed: translations, module symbols; follows the machine's RAM if the
  /// kernel was given more of it. Call it before a new look.
  void refresh();
  /// Forgets the modules' symbols alone: of a kernel that is looked at while it runs.
  void forget_modules() const;
  /// False once the guest runs another kernel than the one attached to (reboot).
  [[nodiscard]] bool still_there() const;

 private:
  struct State;
  explicit Kernel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vitrine::linux
