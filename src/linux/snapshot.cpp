#include "linux/snapshot.h"

namespace vitrine::linux {

Result<void> Snapshot::load(const VirtualMemory& memory, Gva object) {
  object_ = object;
  if (span_.size > kMaxSize) return fail(Errc::too_large, object.value, "span of a snapshot");
  bytes_.resize(span_.size);
  if (auto done = memory.read(object + span_.offset, bytes_); !done) {
    bytes_.clear();
    return done;
  }
  return {};
}

}  // namespace vitrine::linux
