// GuardedMapping: a read-only file mapping that survives the file shrinking under it.
//
// Touching a page of a mapping past the end of its file raises SIGBUS. A RAM file
// that its owner truncates, or an image that is overwritten while we read it, must be
// an error and not our end. So the first mapping installs one SIGBUS handler for the
// process: a fault inside a registered mapping raises that mapping's flag and puts a
// page of zeros over the faulting page; any other SIGBUS goes to whoever had the
// signal before us. A signal handler can reach nothing but static storage, hence the
// one table of mappings: the exception to "no globals" (docs/adr/0004-a-file-that-shrinks.md).
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine {

class GuardedMapping {
 public:
  GuardedMapping() = default;
  GuardedMapping(GuardedMapping&& other) noexcept;
  GuardedMapping& operator=(GuardedMapping&& other) noexcept;
  ~GuardedMapping();

  /// Maps the first `size` bytes of the file, shared and read-only. The descriptor
  /// may be closed afterwards.
  /// @returns out_of_bounds  the file is shorter than `size`.
  /// @returns too_large      more than 1024 mappings at once.
  /// @returns denied, io     mmap refused.
  [[nodiscard]] static Result<GuardedMapping> map(int file, std::uint64_t size);

  /// The mapped bytes; others may write them while we look.
  [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }

  /// True once a page of it turned out to be gone; zeros stand there now. Ask after
  /// copying: what was copied before the answer "no" is the file's own. Stays true.
  [[nodiscard]] bool lost() const noexcept;

 private:
  void release() noexcept;

  Bytes bytes_;
  std::uint64_t mapped_bytes_ = 0;
  int slot_ = -1;
};

}  // namespace vitrine
