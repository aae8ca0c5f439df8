// VirtualMemory: guest memory as a pointer of the guest sees it, read-only by type.
#pragma once

#include <cstdint>
#include <string>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"

namespace vitrine {

/// What follows the guest's pointers reads through this: the page-table walker of
/// floor 3 (x86/address_space.h) in earnest, plain arrays in tests.
///
/// Threads: as PhysicalMemory, unless the implementation says otherwise.
class VirtualMemory {
 public:
  VirtualMemory() = default;
  VirtualMemory(const VirtualMemory&) = delete;
  VirtualMemory& operator=(const VirtualMemory&) = delete;
  virtual ~VirtualMemory() = default;

  /// Fills `into` from `from` on; each page is translated on its own.
  /// @returns not_canonical, not_present, outside_ram, vanished, denied, io
  /// On error the contents of `into` are unspecified.
  [[nodiscard]] virtual Result<void> read(Gva from, MutableBytes into) const = 0;

  /// A little-endian value. Errors as read().
  template <class T>
  [[nodiscard]] Result<T> load(Gva from) const {
    T value{};
    if (auto done = read(from, writable_bytes_of(value)); !done)
      return std::unexpected(done.error());
    return value;
  }

  /// The bytes from `from` up to the first NUL or `limit` bytes, whichever comes
  /// first (a string that fills its array has no NUL). Never reads past the page
  /// that holds the NUL. Errors as read(), for the first page; a later page that
  /// cannot be read ends the string with that error.
  [[nodiscard]] Result<std::string> load_string(Gva from, std::size_t limit) const;
};

}  // namespace vitrine
