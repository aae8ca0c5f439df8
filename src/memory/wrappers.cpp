#include "memory/wrappers.h"

namespace vitrine {

Result<void> CountedMemory::read(Gpa from, MutableBytes into) const {
  ++reads_;
  ++trips_;
  bytes_ += into.size();
  return inner_.read(from, into);
}

std::size_t CountedMemory::read_batch(std::span<BatchRead> batch) const {
  reads_ += batch.size();
  ++trips_;
  for (const auto& one : batch) bytes_ += one.into.size();
  return inner_.read_batch(batch);
}

Bytes CountedMemory::window(Gpa from, std::uint64_t size) const noexcept {
  ++windows_;
  return inner_.window(from, size);
}

Result<void> FailingMemory::read(Gpa from, MutableBytes into) const {
  const auto number = reads_++;
  if (number == fail_at_ || (from_there_on_ && number > fail_at_)) {
    failed_ = true;
    return fail(code_, from.value, "made to fail");
  }
  return inner_.read(from, into);
}

}  // namespace vitrine
