// kdump-compressed dumps: what makedumpfile makes of a vmcore, and QEMU's
// `dump-guest-memory -z/-l/-s` of a running machine. Each page is compressed by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "format/flattened.h"

namespace vitrine::format {

inline constexpr std::string_view kKdumpMagic = "KDUMP   ";

/// What makedumpfile may leave out, as bits of the dump level.
inline constexpr std::uint32_t kLeftOutZeroPages = 1;

/// Threads: immutable once opened.
class Kdump {
 public:
  /// @param file  the whole file, flattened or not; must outlive this.
  /// @returns malformed      no such dump, or sizes that contradict each other
  /// @returns unsupported    a dump of a 32-bit machine, or one part of a split dump
  /// @returns out_of_bounds  the bitmap leaves the file
  /// @returns too_large      a bitmap of more than 64 MiB (2 TiB of guest memory), or memory in
  /// more
  ///                         than 2^24 ranges
  /// Cost: reads headers and bitmaps: 64 KiB per GiB of guest memory.
  /// Source: makedumpfile's diskdump_mod.h and IMPLEMENTATION; QEMU include/system/dump.h.
  [[nodiscard]] static Result<Kdump> open(Bytes file);

  [[nodiscard]] std::uint64_t block_size() const noexcept { return block_size_; }
  /// Guest memory that can be read, by address: pages that were dumped, and those left out as
  /// zeros (level & kLeftOutZeroPages).
  [[nodiscard]] const std::vector<GpaRange>& ranges() const noexcept { return ranges_; }
  [[nodiscard]] std::uint64_t dumped_pages() const noexcept { return dumped_pages_; }
  [[nodiscard]] std::uint64_t left_out_pages() const noexcept { return left_out_pages_; }
  [[nodiscard]] std::uint32_t level() const noexcept { return level_; }
  [[nodiscard]] bool cut_short() const noexcept { return file_.cut_short(); }

  /// The notes as an ELF core has them; empty if there are none.
  [[nodiscard]] Bytes notes() const noexcept { return notes_; }
  /// VMCOREINFO, where it stands outside the notes.
  [[nodiscard]] Bytes vmcoreinfo() const noexcept { return vmcoreinfo_; }

  /// One page, decoded. @param into  block_size() bytes.
  /// @returns outside_ram    the dump has no such page
  /// @returns out_of_bounds  its bytes leave the file
  /// @returns malformed      they cannot be decoded
  [[nodiscard]] Result<void> read_page(std::uint64_t number, MutableBytes into) const;

 private:
  Result<void> read_bitmaps(std::uint64_t blocks_before, std::uint64_t blocks, std::uint64_t pages);
  [[nodiscard]] std::uint64_t rank(std::uint64_t number) const;

  Flattened file_;
  std::uint64_t block_size_ = 0;
  std::uint64_t descriptors_at_ = 0;
  std::uint64_t dumped_pages_ = 0, left_out_pages_ = 0;
  std::uint32_t level_ = 0;
  std::vector<std::uint64_t> exists_, dumped_;  // a bit a page
  std::vector<std::uint32_t> ranks_;            // dumped pages before each kRankStep words
  std::vector<GpaRange> ranges_;
  std::vector<std::byte> notes_, vmcoreinfo_;
};

}  // namespace vitrine::format
