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

Result<void> WitnessedMemory::witnessed(Gpa from, Result<void> done) const noexcept {
  if (!done && done.error().code != Errc::outside_ram) {
    last_ = from.value;
    ++refused_;
  }
  return done;
}

Result<void> WitnessedMemory::read(Gpa from, MutableBytes into) const {
  return witnessed(from, inner_.read(from, into));
}

std::size_t WitnessedMemory::read_batch(std::span<BatchRead> batch) const {
  std::size_t read = inner_.read_batch(batch);
  if (read == batch.size()) return read;
  for (auto& one : batch) {  // a batch does not say why: the single read does
    if (one.ok) continue;
    one.ok = this->read(one.from, one.into).has_value();
    read += one.ok ? 1 : 0;
  }
  return read;
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
