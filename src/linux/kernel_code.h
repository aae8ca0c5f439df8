// KernelCode: all memory that the kernel could execute, and whose it is.
//
// What runs in the kernel must be mapped executable: that is the processor's rule, and no
// rootkit can hide from it. So the page tables say what code there is, and the kernel's own
// structures say what code there should be; the difference is code that nobody accounts for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/kernel.h"
#include "linux/modules.h"

namespace vitrine::linux {

enum class CodeOwner : std::uint8_t {
  kernel,   ///< _text to _etext; while the kernel starts, its init text too
  module,   ///< text of a module in the list `modules`
  bpf,      ///< a program, trampoline or dispatcher in bpf_kallsyms, or a pack of programs
  ftrace,   ///< a trampoline of an ftrace_ops
  kprobes,  ///< a page of instruction slots
  unused,   ///< executable, but filled with traps or zeros: there is nothing to run
  unknown,  ///< nobody accounts for it
};
[[nodiscard]] std::string_view name(CodeOwner owner) noexcept;

struct CodeRange {
  Gva start;
  std::uint64_t size = 0;  ///< bytes
  CodeOwner owner = CodeOwner::unknown;
  std::string name;  ///< the module's, the program's; else empty
  [[nodiscard]] Gva end() const { return start + size; }
  [[nodiscard]] bool contains(Gva at) const { return at - start < size; }
};

/// Where an address of code lies, in words.
struct CodeWhere {
  CodeOwner owner = CodeOwner::unknown;
  std::string text;    ///< "kernel", "module ext4", "bpf prog", "unknown": for people
  std::string module;  ///< its name, if it is a module's
  std::string symbol;  ///< "do_exit+0x12"; empty: no name is near
  bool executable = false;
  /// Known code, and executable.
  [[nodiscard]] bool known() const {
    return owner != CodeOwner::unknown && owner != CodeOwner::unused;
  }
};

/// `size` bytes at `at` in hexadecimal, or those before the first that cannot be read.
[[nodiscard]] std::string hexadecimal_at(const VirtualMemory& memory, Gva at, std::size_t size);

class KernelCode {
 public:
  /// Bounds: pages of unknown code that are looked at, ranges that are kept.
  static constexpr std::size_t kMaxRanges = 1U << 16;
  static constexpr std::size_t kMaxPages = 1U << 16;
  static constexpr std::size_t kMaxTables = 1U << 16;

  /// Walks the kernel's page tables and the structures named above. `kernel` must outlive this.
  /// @returns not_found  no symbols of the kernel's text, or a kernel without types
  /// Cost: one read for each page table of the kernel's half, and for each page of code that
  /// nobody accounts for; 1 to 3 ms on a small guest.
  [[nodiscard]] static Outcome<KernelCode> read(const Kernel& kernel);

  /// What is known to hold code, by address, without overlaps.
  [[nodiscard]] const std::vector<CodeRange>& known() const { return known_; }
  /// Executable memory that is not known: `unused` and `unknown`, by address.
  [[nodiscard]] const std::vector<CodeRange>& rest() const { return rest_; }
  /// Of rest(), what holds bytes that could run.
  [[nodiscard]] bool has_unknown() const { return has_unknown_; }

  /// The range that holds `at`, known or not; nullptr: not executable, or not kernel memory.
  [[nodiscard]] const CodeRange* find(Gva at) const;
  [[nodiscard]] CodeWhere where(Gva at) const;
  /// "do_exit+0x12", "tcp4_seq_show"; empty if no name is near.
  [[nodiscard]] std::string symbol_at(Gva at) const;

  [[nodiscard]] const std::vector<Module>& modules() const { return modules_; }
  [[nodiscard]] Gva text_start() const { return text_start_; }
  [[nodiscard]] Gva text_end() const { return text_end_; }
  [[nodiscard]] bool in_kernel_text(Gva at) const { return at >= text_start_ && at < text_end_; }

  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  [[nodiscard]] bool truncated() const { return truncated_; }

 private:
  explicit KernelCode(const Kernel& kernel) : kernel_(&kernel) {}
  void add_known(Gva start, std::uint64_t size, CodeOwner owner, std::string name);
  [[nodiscard]] static Outcome<KernelCode> read_once(const Kernel& kernel);
  void sort_known();
  bool claim_classic_bpf();
  bool claim_freed_init();
  [[nodiscard]] bool frees_wait() const;
  void read_modules_text();
  void read_bpf();
  void read_bpf_packs();
  void read_ftrace();
  void read_kprobes();
  Outcome<void> read_tables();
  void split_rest(Gva start, std::uint64_t size);
  [[nodiscard]] bool nothing_to_run(Gva start, std::uint64_t size) const;

  const Kernel* kernel_;
  Gva text_start_, text_end_;
  std::vector<CodeRange> known_, rest_;
  std::vector<Module> modules_;
  std::vector<std::string> warnings_;
  std::size_t pages_looked_at_ = 0;
  bool truncated_ = false;
  bool has_unknown_ = false;
};

}  // namespace vitrine::linux
