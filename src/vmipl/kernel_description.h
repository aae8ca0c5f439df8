// KernelDescription: what a script can know of a kernel, as a small text file.
//
// `vitrine check --kernel FILE` checks a script against a kernel that does not run: its
// symbols, the types that are named in it, and the views. One fact a line:
//
//   vitrine-kernel 1
//   release 6.1.0-37-amd64
//   symbol ffffffff810a1b20 T do_exit
//   struct task_struct 9792              (or union; bytes)
//   member pid 10560 0 s32               (of the struct above: offset in bits, width of a bit
//   field, type) typedef pid_t s32 enum pid_type u32 enumerator PIDTYPE_MAX 4 variable runqueues
//   struct rq view sockets column state text                    (of the view above)
//
// A vitrine writes it by `vitrine kernel VM`. Types: bool char s8..s64 u8..u64 void, struct NAME,
// union NAME, ptr TYPE, array N TYPE. Members of anonymous structures stand as the structure's own.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/problem.h"
#include "vmipl/ports.h"

namespace vitrine::vmipl {

class KernelDescription {
 public:
  /// @returns malformed  not such a file; the message names the line
  /// @returns too_large  more than 64 MiB
  [[nodiscard]] static Outcome<KernelDescription> parse(std::string_view text);

  KernelDescription(KernelDescription&&) noexcept;
  KernelDescription& operator=(KernelDescription&&) noexcept;
  ~KernelDescription();

  /// Valid while the description lives.
  [[nodiscard]] Ports ports() const;
  [[nodiscard]] const std::string& release() const;

 private:
  struct Data;
  explicit KernelDescription(std::unique_ptr<Data> data);
  std::unique_ptr<Data> data_;
};

}  // namespace vitrine::vmipl
