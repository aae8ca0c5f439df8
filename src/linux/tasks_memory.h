// A process's memory from its mm_struct: sizes, and the strings it was started with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

class Kernel;

/// Bytes of a process, as far as they could be read.
struct UserBytes {
  std::string bytes;
  bool cut = false;  ///< more was there: a page is not present (swapped out), or it was too long
};

/// `size` bytes at `from`, or the readable prefix; at most `limit`.
[[nodiscard]] UserBytes read_user_bytes(const VirtualMemory& memory, Gva from, std::uint64_t size,
                                        std::uint64_t limit);

/// The strings of an area that ends each with NUL: arguments, environment. A last one
/// without its NUL counts.
[[nodiscard]] std::vector<std::string> split_strings(std::string_view bytes);

/// The members of mm_struct that tell sizes and places; one snapshot serves them all.
class MemoryFields {
 public:
  /// The longest command line or environment that is read; longer ones are cut.
  static constexpr std::uint64_t kMaxStrings = 256 * 1024;

  /// @returns not_found  the members that are missing
  [[nodiscard]] static Outcome<MemoryFields> open(const Kernel& kernel);

  [[nodiscard]] Span span() const { return span_; }

  struct Resident {
    std::int64_t total = 0;   ///< bytes: file pages, anonymous pages, shared memory
    std::int64_t shared = 0;  ///< file pages and shared memory
  };
  /// mm_struct.rss_stat: counters in an array up to 6.1; per-CPU counters from 6.2 on, which
  /// are summed exactly (/proc shows their approximate part until 6.15).
  [[nodiscard]] Result<Resident> resident(const Snapshot& mm) const;
  [[nodiscard]] Result<std::int64_t> total(const Snapshot& mm) const;  ///< total_vm, bytes
  [[nodiscard]] Result<std::int64_t> text(
      const Snapshot& mm) const;  ///< start_code to end_code in pages, bytes
  [[nodiscard]] Result<std::int64_t> data(const Snapshot& mm) const;  ///< data_vm + stack_vm, bytes

  /// The arguments as /proc/PID/cmdline gives them, NULs and all: the area from
  /// arg_start to arg_end, or what setproctitle(3) made of it.
  /// Source: get_mm_cmdline() in fs/proc/base.c.
  [[nodiscard]] Result<UserBytes> command_line(const VirtualMemory& user, const Snapshot& mm) const;
  [[nodiscard]] Result<UserBytes> environment(const VirtualMemory& user, const Snapshot& mm) const;

  [[nodiscard]] Result<Gva> executable(const Snapshot& mm) const { return exe_file_.read(mm); }
  /// Where its program's code begins; 0: it is not loaded yet (exec is under way).
  [[nodiscard]] Result<std::uint64_t> code_start(const Snapshot& mm) const {
    return start_code_.read(mm);
  }
  /// MMF_DUMPABLE: 0 not, 1 by its owner, 2 by root alone. Nothing where the kernel does
  /// not keep it here (7.1 moved it to task_struct.exec_state).
  [[nodiscard]] std::optional<std::int64_t> dumpable(const Snapshot& mm) const;

 private:
  const Kernel* kernel_ = nullptr;
  Span span_;
  Field<std::uint64_t> total_vm_, data_vm_, stack_vm_, start_code_, end_code_;
  Field<std::uint64_t> arg_start_, arg_end_, env_start_, env_end_;
  Field<Gva> exe_file_;
  OptionalField<std::uint64_t> flags_;
  Embedded counters_;  // rss_stat.count[] or rss_stat[]
  bool per_cpu_ = false;
  std::uint32_t counter_count_ = 0;            // percpu_counter.count
  std::optional<std::uint32_t> counter_cpus_;  // percpu_counter.counters: with CONFIG_SMP
  std::uint32_t file_pages_ = 0, anonymous_pages_ = 1, shared_pages_ = 3;

  [[nodiscard]] Result<std::int64_t> counter(const Snapshot& mm, std::uint32_t which) const;
};

}  // namespace vitrine::linux
