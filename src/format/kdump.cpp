#include "format/kdump.h"

#include <algorithm>
#include <bit>

#include "format/compression.h"

namespace vitrine::format {
namespace {

// struct disk_dump_header of a 64-bit machine, then kdump_sub_header in its own block.
constexpr std::uint64_t kBlockSize = 428, kSubBlocks = 432, kBitmapBlocks = 436, kPages = 440;
constexpr std::uint64_t kVersion = 8, kHeaderSize = 464;
constexpr std::uint64_t kBlockSizeOf32 = 416;
constexpr std::uint64_t kSubLevel = 8, kSubSplit = 12, kSubInfo = 32, kSubNotes = 48,
                        kSubPages = 96, kSubSize = 104;
constexpr std::uint32_t kVersionWithPages64 = 6;

constexpr std::uint64_t kDescriptorSize = 24;
constexpr std::uint32_t kZlib = 1, kLzo = 2, kSnappy = 4, kZstd = 0x20;

constexpr std::uint64_t kMostBitmap = 64 * kMiB;
constexpr std::uint64_t kMostNotes = 16 * kMiB;
constexpr std::size_t kMostRanges = std::size_t{1} << 24U;
constexpr std::size_t kRankStep = 16;  // words of 64 pages
constexpr std::size_t kWordBits = 64;

bool is_block_size(std::uint32_t size) {
  return std::has_single_bit(size) && size >= kPageSize && size <= 64 * kKiB;
}

bool bit(const std::vector<std::uint64_t>& words, std::uint64_t number) {
  return (words[number / kWordBits] >> (number % kWordBits) & 1U) != 0;
}

Result<std::vector<std::byte>> read_part(const Flattened& file, std::uint64_t at,
                                         std::uint64_t size) {
  if (at == 0 || size == 0) return std::vector<std::byte>{};
  if (size > kMostNotes) return fail(Errc::too_large, at, "kdump: notes");
  if (at > file.size() || size > file.size() - at)
    return fail(Errc::out_of_bounds, at, "kdump: notes");
  std::vector<std::byte> part(size);
  TRY(file.read(at, part));
  return part;
}

}  // namespace

Result<Kdump> Kdump::open(Bytes bytes) {
  Kdump dump;
  dump.file_ = TRY(Flattened::open(bytes));
  std::vector<std::byte> head(kHeaderSize);
  if (!dump.file_.read(0, head)) return fail(Errc::malformed, 0, "kdump header");
  if (!std::ranges::equal(Bytes(head).first(kKdumpMagic.size()), bytes_of(kKdumpMagic)))
    return fail(Errc::malformed, 0, "kdump magic");
  const auto word = [&](std::uint64_t at) { return load<std::uint32_t>(head, at).value_or(0); };
  if (!is_block_size(word(kBlockSize))) {
    if (is_block_size(word(kBlockSizeOf32)))
      return fail(Errc::unsupported, kBlockSizeOf32, "kdump: a dump of a 32-bit machine");
    return fail(Errc::malformed, kBlockSize, "kdump: block_size");
  }
  dump.block_size_ = word(kBlockSize);

  std::vector<std::byte> sub(kSubSize);
  if (!dump.file_.read(dump.block_size_, sub))
    return fail(Errc::malformed, dump.block_size_, "kdump sub header");
  const auto wide = [&](std::uint64_t at) { return load<std::uint64_t>(sub, at).value_or(0); };
  dump.level_ = load<std::uint32_t>(sub, kSubLevel).value_or(0);
  if (load<std::uint32_t>(sub, kSubSplit).value_or(0) != 0)
    return fail(Errc::unsupported, kSubSplit, "kdump: one part of a split dump");
  std::uint64_t pages = word(kPages);
  if (word(kVersion) >= kVersionWithPages64 && wide(kSubPages) != 0) pages = wide(kSubPages);

  TRY(dump.read_bitmaps(1 + std::uint64_t{word(kSubBlocks)}, word(kBitmapBlocks), pages));
  dump.notes_ = TRY(read_part(dump.file_, wide(kSubNotes), wide(kSubNotes + 8)));
  dump.vmcoreinfo_ = TRY(read_part(dump.file_, wide(kSubInfo), wide(kSubInfo + 8)));
  return dump;
}

Result<void> Kdump::read_bitmaps(std::uint64_t blocks_before, std::uint64_t blocks,
                                 std::uint64_t pages) {
  const auto at = blocks_before * block_size_;
  const auto half = blocks * block_size_ / 2;
  descriptors_at_ = at + blocks * block_size_;
  if (half > kMostBitmap) return fail(Errc::too_large, at, "kdump: bitmap");
  if (pages == 0 || pages > half * 8) return fail(Errc::malformed, kPages, "kdump: max_mapnr");
  exists_.resize(half / sizeof(std::uint64_t));
  dumped_.resize(exists_.size());
  TRY(file_.read(at, std::as_writable_bytes(std::span(exists_))));
  TRY(file_.read(at + half, std::as_writable_bytes(std::span(dumped_))));

  const bool zeros = (level_ & kLeftOutZeroPages) != 0;
  const auto words = std::min<std::uint64_t>((pages + kWordBits - 1) / kWordBits, dumped_.size());
  const auto add = [&](std::uint64_t first, std::uint64_t count) {
    const Gpa start{first * block_size_};
    if (!ranges_.empty() && ranges_.back().end() == start)
      ranges_.back().size += count * block_size_;
    else
      ranges_.push_back({start, count * block_size_});
  };
  for (std::size_t i = 0; i < words; ++i) {
    if (ranges_.size() > kMostRanges) return fail(Errc::too_large, at, "kdump: ranges of memory");
    if (i % kRankStep == 0) ranks_.push_back(static_cast<std::uint32_t>(dumped_pages_));
    if (i + 1 == words && pages % kWordBits != 0)  // no page behind the last
      dumped_[i] &= (std::uint64_t{1} << pages % kWordBits) - 1,
          exists_[i] &= (std::uint64_t{1} << pages % kWordBits) - 1;
    dumped_pages_ += static_cast<std::uint64_t>(std::popcount(dumped_[i]));
    left_out_pages_ += static_cast<std::uint64_t>(std::popcount(exists_[i] & ~dumped_[i]));
    auto left = dumped_[i] | (zeros ? exists_[i] : 0);
    for (std::size_t place = 0; left != 0;) {
      const auto skip = static_cast<std::size_t>(std::countr_zero(left));
      left >>= skip;
      place += skip;
      const auto run = static_cast<std::size_t>(std::countr_one(left));
      add(i * kWordBits + place, run);
      left = run == kWordBits ? 0 : left >> run;
      place += run;
    }
  }
  exists_.resize(words);
  dumped_.resize(words);
  return {};
}

std::uint64_t Kdump::rank(std::uint64_t number) const {
  const auto word = number / kWordBits;
  std::uint64_t count = ranks_[word / kRankStep];
  for (auto i = word / kRankStep * kRankStep; i < word; ++i)
    count += static_cast<std::uint64_t>(std::popcount(dumped_[i]));
  const auto below = (std::uint64_t{1} << number % kWordBits) - 1;
  return count + static_cast<std::uint64_t>(std::popcount(dumped_[word] & below));
}

Result<void> Kdump::read_page(std::uint64_t number, MutableBytes into) const {
  if (number / kWordBits >= dumped_.size() || into.size() != block_size_)
    return fail(Errc::outside_ram, number * block_size_, "kdump page");
  if (!bit(dumped_, number)) {
    if ((level_ & kLeftOutZeroPages) == 0 || !bit(exists_, number))
      return fail(Errc::outside_ram, number * block_size_, "kdump page");
    std::ranges::fill(into, std::byte{0});
    return {};
  }
  std::array<std::byte, kDescriptorSize> descriptor{};
  const auto at = descriptors_at_ + rank(number) * kDescriptorSize;
  TRY(file_.read(at, descriptor));
  const auto offset = load<std::uint64_t>(descriptor, 0).value_or(0);
  const auto size = load<std::uint32_t>(descriptor, 8).value_or(0);
  const auto flags = load<std::uint32_t>(descriptor, 12).value_or(0);
  if (size == 0 || size > block_size_) return fail(Errc::malformed, at, "kdump: page size");
  std::array<std::byte, 64 * kKiB> stored;
  const auto packed = MutableBytes(stored).first(size);
  TRY(file_.read(offset, packed));
  const auto how = (flags & kZlib) != 0     ? Compression::zlib
                   : (flags & kLzo) != 0    ? Compression::lzo
                   : (flags & kSnappy) != 0 ? Compression::snappy
                   : (flags & kZstd) != 0   ? Compression::zstd
                                            : Compression::none;
  if (!decompress(how, packed, into)) return fail(Errc::malformed, offset, "kdump: a page's bytes");
  return {};
}

}  // namespace vitrine::format
