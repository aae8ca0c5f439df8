#include "memory/decoded_memory.h"

#include <algorithm>
#include <cstring>

namespace vitrine {
namespace {

constexpr std::size_t kMostKept = 16 * kMiB;

bool holds(std::span<const GpaRange> ranges, Gpa at) {
  const auto next = std::ranges::upper_bound(ranges, at, {}, &GpaRange::start);
  return next != ranges.begin() && std::prev(next)->contains(at);
}

}  // namespace

Result<Bytes> DecodedMemory::unpacked(GpaRange piece) const {
  if (const auto known = kept_.find(piece.start); known != kept_.end()) return known->second;
  std::vector<std::byte> bytes(piece.size);
  TRY(pages_->unpack(piece, bytes));
  if (!pages_->intact()) return fail(Errc::vanished, piece.start.value, "the image shrank");
  if (kept_bytes_ + piece.size > kMostKept) {
    kept_.clear();
    kept_bytes_ = 0;
  }
  kept_bytes_ += piece.size;
  return kept_.emplace(piece.start, std::move(bytes)).first->second;
}

Result<void> DecodedMemory::read(Gpa from, MutableBytes into) const {
  const std::scoped_lock lock(mutex_);
  for (std::size_t done = 0; done < into.size();) {
    const auto at = from + done;
    if (!holds(ram(), at)) return fail(Errc::outside_ram, at.value, "image");
    const auto piece = pages_->piece_of(at);
    const auto bytes = TRY(unpacked(piece));
    const auto begin = at - piece.start;
    const auto size = std::min<std::uint64_t>(into.size() - done, bytes.size() - begin);
    std::memcpy(into.data() + done, bytes.data() + begin, size);
    done += size;
  }
  return {};
}

}  // namespace vitrine
