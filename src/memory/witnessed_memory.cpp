#include "memory/witnessed_memory.h"

namespace vitrine {

Result<void> WitnessedMemory::read(Gpa from, MutableBytes into) const {
  auto done = inner().read(from, into);
  if (!done && done.error().code != Errc::outside_ram) {
    last_ = from.value;
    ++refused_;
  }
  return done;
}

std::size_t WitnessedMemory::read_batch(std::span<BatchRead> batch) const {
  std::size_t read = inner().read_batch(batch);
  if (read == batch.size()) return read;
  for (auto& one : batch) {  // a batch does not say why: the single read does
    if (one.ok) continue;
    one.ok = this->read(one.from, one.into).has_value();
    read += one.ok ? 1 : 0;
  }
  return read;
}

}  // namespace vitrine
