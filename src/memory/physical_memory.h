// PhysicalMemory: a guest's RAM, read-only by type.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"

namespace vitrine {

/// One read of a batch: what to fetch, where to put it, and how that went.
struct BatchRead {
  Gpa from;
  MutableBytes into;
  bool ok = false;  ///< out: all of `into` was filled
};

/// Guest-physical memory. Whoever looks at a guest holds a `const PhysicalMemory&`;
/// nothing in this interface can write (writing is another type: WritableMemory).
///
/// Threads: all members may be called from several threads at once.
/// The guest may run while we read: two reads of one address may differ, and a read
/// longer than 8 bytes may be torn. Nothing here blocks on the guest.
class PhysicalMemory {
 public:
  PhysicalMemory() = default;
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;
  virtual ~PhysicalMemory() = default;

  /// The RAM there is, sorted by address, without overlaps; adjacent ranges may
  /// be separate. What lies between is a hole (MMIO, ROM, nothing).
  [[nodiscard]] virtual std::span<const GpaRange> ram() const noexcept = 0;

  /// Fills `into` from `from` on, across adjacent ranges.
  /// @returns outside_ram  a byte lies in a hole; `error().address` is its address.
  /// @returns vanished     the machine or the file went away.
  /// @returns denied, io   the host refused; `error().address` is where.
  /// On error the contents of `into` are unspecified.
  [[nodiscard]] virtual Result<void> read(Gpa from, MutableBytes into) const = 0;

  /// Each read of a batch on its own; one system call for many where that is
  /// cheaper. @returns how many are ok.
  virtual std::size_t read_batch(std::span<BatchRead> batch) const;

  /// The bytes themselves where this source has them mapped as one piece, else an
  /// empty view. They may change while looked at: copy, then check the copy.
  [[nodiscard]] virtual Bytes window([[maybe_unused]] Gpa from,
                                     [[maybe_unused]] std::uint64_t size) const noexcept {
    return {};
  }

  /// The first stretch at or after `from` that may hold anything but zeros: sparse
  /// files and untouched pages are skipped without being touched. Nothing if there
  /// is none. Stretches are page-aligned and never leave one range of ram().
  [[nodiscard]] virtual std::optional<GpaRange> next_populated(Gpa from) const;

  /// The sum of ram() in bytes.
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;

  /// A little-endian value. Errors as read().
  template <class T>
  [[nodiscard]] Result<T> load(Gpa from) const {
    T value{};
    if (auto done = read(from, writable_bytes_of(value)); !done)
      return std::unexpected(done.error());
    return value;
  }
};

}  // namespace vitrine
