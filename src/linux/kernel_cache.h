// KernelCache: kernels that were recovered before, kept by build id.
//
// A cached kernel saves the search and the decoding, never the doubt: its build id
// must stand in the guest where it stood before, the guest's page tables must map it,
// and the guest's own kallsyms must hash to what was recovered then.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "linux/find_kernel.h"

namespace vitrine::linux {

class KernelCache {
 public:
  /// @param directory  made when first needed, for its user alone; empty: a cache that
  ///   finds and keeps nothing.
  explicit KernelCache(std::string directory);

  /// The kernel in `ram`, if it is one of the kept. Files that are damaged, not ours or
  /// another user's are passed over; `doubt` says if one fitted by name but not by content.
  /// Cost: a 36-byte read for each kept kernel and place it could be; on a hit, a hash over
  /// kallsyms (3 to 5 MB).
  [[nodiscard]] std::optional<FoundKernel> find(const PhysicalMemory& ram, std::span<const Gpa> hints,
                                                std::string& doubt) const;

  /// Keeps a kernel under its build id; replaces what is there. The file appears whole
  /// or not at all.
  /// @returns denied, io  the directory cannot be written; nothing is lost but time
  Outcome<void> keep(const PhysicalMemory& ram, const FoundKernel& kernel) const;

 private:
  std::string directory_;
};

}  // namespace vitrine::linux
