// KernelCache: kernels that were recovered before, kept by build id.
//
// A cached kernel saves the search and the decoding, never the doubt: its build id
// must stand in the guest where it stood before, the guest's page tables must map it,
// and the guest's own kallsyms must hash to what was recovered then. If only the tables
// differ, while the code is that kernel's, the kept ones serve, and whoever attaches is told.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "linux/find_kernel.h"

namespace vitrine::linux {

/// A kernel from the cache.
struct CachedKernel {
  FoundKernel kernel;
  std::string path;  ///< the file it came from
  /// The guest's kallsyms are not the kept ones; the code is.
  bool symbols_altered = false;
  std::uint64_t types_hash = 0;  ///< of the BTF kept with it; 0: none is
  std::uint64_t text_size = 0;   ///< bytes of code
};

class KernelCache {
 public:
  /// @param directory  made when first needed, for its user alone; empty: a cache that
  ///   finds and keeps nothing.
  explicit KernelCache(std::string directory);

  /// The kernel in `ram`, if it is one of the kept. Files that are damaged, not ours or
  /// another user's are passed over; `doubt` says if one fitted by name but not by content.
  /// Cost: a 36-byte read for each kept kernel and place it could be; on a hit, a hash over
  /// kallsyms (3 to 5 MB); where that differs, a sample of the code.
  [[nodiscard]] std::optional<CachedKernel> find(const PhysicalMemory& ram,
                                                 std::span<const TextHint> hints,
                                                 std::string& doubt) const;

  /// The share of that kernel's code, as sampled when it was kept, that stands in `ram`: 0 to 1.
  [[nodiscard]] double code_likeness(const PhysicalMemory& ram, const CachedKernel& cached) const;

  /// The BTF that was kept with it, whole and undamaged; nothing otherwise.
  [[nodiscard]] std::optional<std::vector<std::byte>> types(const CachedKernel& cached) const;

  /// Keeps a kernel under its build id, with its BTF (may be empty); replaces what is there.
  /// Each file appears whole or not at all. The 64 newest kernels stay, of at most 1 GiB together.
  /// @returns denied, io  the directory cannot be written; nothing is lost but time
  Outcome<void> keep(const PhysicalMemory& ram, const FoundKernel& kernel, Bytes types) const;

 private:
  std::string directory_;
};

/// What types_hash is compared to.
[[nodiscard]] std::uint64_t hash_types(Bytes types) noexcept;

}  // namespace vitrine::linux
