#include "format/flattened.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vitrine::format {
namespace {

constexpr std::uint64_t kHeader = 4096;
constexpr std::uint64_t kEnd = UINT64_MAX;  // -1 as place and size
constexpr std::size_t kMostPieces = std::size_t{1} << 22U;

std::optional<std::uint64_t> big_endian(Bytes file, std::uint64_t at) {
  const auto value = load<std::uint64_t>(file, at);
  if (!value) return std::nullopt;
  return __builtin_bswap64(*value);
}

}  // namespace

Result<Flattened> Flattened::open(Bytes file) {
  Flattened dump;
  dump.file_ = file;
  const auto head = slice(file, 0, kFlattenedMagic.size());
  if (!head || !std::ranges::equal(*head, bytes_of(kFlattenedMagic))) {
    dump.put(0, {file.size(), 0});
    return dump;
  }
  if (big_endian(file, 16) != 1U || big_endian(file, 24) != 1U)
    return fail(Errc::unsupported, 16, "flattened dump: type or version");
  for (std::uint64_t at = kHeader;; at += 16) {
    const auto place = big_endian(file, at);
    const auto size = big_endian(file, at + 8);
    if (!place || !size) {
      dump.cut_short_ = true;
      return dump;
    }
    if (*place == kEnd && *size == kEnd) return dump;
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63U;
    if (((*place | *size) & kSign) != 0 || ((*place + *size) & kSign) != 0)
      return fail(Errc::malformed, at, "flattened dump: a piece");
    if (dump.pieces_.size() >= kMostPieces)
      return fail(Errc::too_large, at, "flattened dump: pieces");
    const auto held = std::min(*size, file.size() - (at + 16));
    dump.put(*place, {held, at + 16});
    if (held != *size) {
      dump.cut_short_ = true;
      return dump;
    }
    at += *size;
  }
}

void Flattened::put(std::uint64_t at, Piece piece) {
  if (piece.size == 0) return;
  const auto end = at + piece.size;
  auto next = pieces_.lower_bound(at);
  if (next != pieces_.begin()) {
    const auto before = std::prev(next);
    if (const auto its_end = before->first + before->second.size; its_end > at) {
      const auto old = before->second;
      before->second.size = at - before->first;
      if (its_end > end) pieces_[end] = {its_end - end, old.file_offset + (end - before->first)};
    }
  }
  while (next != pieces_.end() && next->first < end) {
    const auto [start, old] = *next;
    next = pieces_.erase(next);
    if (start + old.size > end) {
      const auto cut = end - start;
      pieces_[end] = {old.size - cut, old.file_offset + cut};
    }
  }
  pieces_[at] = piece;
  size_ = std::max(size_, end);
}

Result<void> Flattened::read(std::uint64_t from, MutableBytes into) const {
  if (from > size_ || into.size() > size_ - from)
    return fail(Errc::out_of_bounds, from, "dump file");
  const auto end = from + into.size();
  if (pieces_.empty()) return {};
  auto piece = pieces_.upper_bound(from);
  if (piece != pieces_.begin()) --piece;
  auto at = from;
  for (; piece != pieces_.end() && piece->first < end; ++piece) {
    const auto start = std::max(at, piece->first);
    const auto stop = std::min(end, piece->first + piece->second.size);
    if (stop <= start) continue;
    std::memset(into.data() + (at - from), 0, start - at);
    std::memcpy(into.data() + (start - from),
                file_.data() + piece->second.file_offset + (start - piece->first), stop - start);
    at = stop;
  }
  if (at < end) std::memset(into.data() + (at - from), 0, end - at);
  return {};
}

}  // namespace vitrine::format
