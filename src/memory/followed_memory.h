// FollowedMemory: a machine's RAM while what it is made of changes (a DIMM plugged).
#pragma once

#include "memory/passing_memory.h"

namespace vitrine {

/// Passes everything on to the newest of the memories that it was given.
/// Threads: follow() when nobody reads.
class FollowedMemory final : public PassingMemory {
 public:
  /// @param first  not null.
  explicit FollowedMemory(std::unique_ptr<PhysicalMemory> first)
      : PassingMemory(std::move(first)) {}

  /// From now on `next` serves. Windows and ranges of the one before stay valid until the next
  /// call.
  void follow(std::unique_ptr<PhysicalMemory> next) { before_ = pass_on_to(std::move(next)); }

 private:
  std::unique_ptr<const PhysicalMemory> before_;
};

}  // namespace vitrine
