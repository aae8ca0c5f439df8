// DecodedMemory: guest RAM that lies packed in an image, unpacked where it is read.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "memory/physical_memory.h"

namespace vitrine {

/// Where packed memory comes from. Threads: immutable.
class PackedPages {
 public:
  static constexpr std::uint64_t kLargestPiece = 64 * kKiB;

  PackedPages() = default;
  PackedPages(const PackedPages&) = delete;
  PackedPages& operator=(const PackedPages&) = delete;
  virtual ~PackedPages() = default;

  /// Sorted, without overlap.
  [[nodiscard]] virtual std::span<const GpaRange> ranges() const noexcept = 0;
  /// The piece that holds `at` and is unpacked as one, kLargestPiece at most; `at` lies in
  /// ranges(). Pieces do not overlap.
  [[nodiscard]] virtual GpaRange piece_of(Gpa at) const noexcept = 0;
  /// @param into  as large as the piece.
  virtual Result<void> unpack(GpaRange piece, MutableBytes into) const = 0;
  /// False once the file has become shorter than it was.
  [[nodiscard]] virtual bool intact() const noexcept = 0;
};

/// Keeps up to 16 MiB of what it unpacked, then begins anew. Cost of a read: a copy, or the
/// unpacking of its pieces.
class DecodedMemory final : public PhysicalMemory {
 public:
  explicit DecodedMemory(std::unique_ptr<const PackedPages> pages) : pages_(std::move(pages)) {}

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return pages_->ranges(); }
  /// Errors as PhysicalMemory::read(), and malformed: a piece cannot be unpacked.
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;

  [[nodiscard]] bool intact() const noexcept { return pages_->intact(); }

 private:
  /// A piece, unpacked now or before. With mutex_ held.
  [[nodiscard]] Result<Bytes> unpacked(GpaRange piece) const;

  std::unique_ptr<const PackedPages> pages_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<Gpa, std::vector<std::byte>> kept_;
  mutable std::size_t kept_bytes_ = 0;
};

}  // namespace vitrine
