// Snapshot: a copy of part of one of the guest's objects, by one read.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// Bytes of an object, from its start.
struct Span {
  std::uint32_t offset = 0;
  std::uint32_t size = 0;

  [[nodiscard]] constexpr std::uint64_t end() const { return std::uint64_t{offset} + size; }
  [[nodiscard]] constexpr Span joined(Span other) const {
    if (size == 0) return other;
    if (other.size == 0) return *this;
    const std::uint32_t first = offset < other.offset ? offset : other.offset;
    const std::uint64_t last = end() > other.end() ? end() : other.end();
    return {first, static_cast<std::uint32_t>(last - first)};
  }
  /// The least that holds what all these fields read of the object itself: their bytes,
  /// or the first pointer on their way. Absent optional fields take nothing.
  template <class... Fields>
  [[nodiscard]] static Span covering(const Fields&... fields) {
    Span all;
    ((all = all.joined(fields.span())), ...);
    return all;
  }
  bool operator==(const Span&) const = default;
};

/// A copy of part of one object, as of one moment (of one read, that is: a guest that
/// runs may be in the midst of changing it).
class Snapshot {
 public:
  /// @param span  what to copy. At most kMaxSize: of a larger one nothing is ever loaded.
  explicit Snapshot(Span span) : span_(span) {}

  static constexpr std::uint32_t kMaxSize = 64 * 1024;

  /// Copies the span of the object at `object`; one read. May be called again and again.
  /// @returns too_large  a span over kMaxSize. Errors as VirtualMemory::read, then nothing
  ///   can be read from the copy.
  [[nodiscard]] Result<void> load(const VirtualMemory& memory, Gva object);

  [[nodiscard]] Gva object() const noexcept { return object_; }
  [[nodiscard]] Span span() const noexcept { return span_; }

  /// The object's bytes from `offset` on, or nothing if they were not copied.
  [[nodiscard]] std::optional<Bytes> bytes(std::uint64_t offset,
                                           std::uint64_t size) const noexcept {
    if (offset < span_.offset) return std::nullopt;
    return slice(bytes_, offset - span_.offset, size);
  }

 private:
  Span span_;
  Gva object_;
  std::vector<std::byte> bytes_;
};

}  // namespace vitrine::linux
