// Ring: records on their way from one virtual CPU's thread to the host's reader, in memory that
// both have mapped.
//
// One writer, one reader, no lock, no system call on the way in. The writer never waits: what
// finds no room is dropped and counted, so a reader that stalls or dies costs the guest nothing.
// Neither side believes the other: the reader checks every length, and a nonsensical position of
// the reader means "full" to the writer.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine::probe {

/// At the start of each ring's room; the bytes follow at kRingData.
struct RingHead {
  std::uint32_t magic = 0;
  std::uint32_t version = 0;
  std::uint64_t size = 0;                             ///< bytes of room, a power of two
  alignas(64) std::atomic<std::uint64_t> written{0};  ///< bytes ever written
  std::atomic<std::uint64_t> lost{0};                 ///< records that found no room
  alignas(64) std::atomic<std::uint64_t> taken{0};    ///< bytes ever taken
};
inline constexpr std::uint32_t kRingMagic = 0x52565456;  // "VTVR"
inline constexpr std::uint32_t kRingVersion = 1;
inline constexpr std::size_t kRingData = 4096;
inline constexpr std::size_t kMaxRings = 4096;

/// The memory of several rings, one a virtual CPU: a sealed memfd that cannot shrink under anyone.
class RingMemory {
 public:
  RingMemory() = default;
  RingMemory(RingMemory&& other) noexcept;
  RingMemory& operator=(RingMemory&& other) noexcept;
  ~RingMemory();

  /// @param size  of each ring, a power of two of at least 4096
  [[nodiscard]] static Outcome<RingMemory> create(std::size_t rings, std::size_t size);
  /// The other side's: from a descriptor that may be anything.
  /// @returns malformed  not the memory of `rings` rings, or not sealed against shrinking
  [[nodiscard]] static Outcome<RingMemory> open(FileDescriptor memory, std::size_t rings);

  [[nodiscard]] int descriptor() const { return memory_.get(); }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] RingHead* head(std::size_t ring) const;
  [[nodiscard]] std::byte* data(std::size_t ring) const;
  [[nodiscard]] std::size_t ring_size() const { return size_; }

 private:
  FileDescriptor memory_;
  std::byte* mapped_ = nullptr;
  std::size_t count_ = 0, size_ = 0;

  [[nodiscard]] std::size_t stride() const { return kRingData + size_; }
};

/// The side of the virtual CPU. One thread.
class RingWriter {
 public:
  RingWriter() = default;
  RingWriter(const RingMemory& memory, std::size_t ring);

  /// False: it found no room, and was counted.
  bool write(Bytes record) noexcept;
  void count_lost() noexcept { head_->lost.fetch_add(1, std::memory_order_relaxed); }
  /// A quarter or more is in use: it is time that the reader comes.
  [[nodiscard]] bool filling() const noexcept;

 private:
  RingHead* head_ = nullptr;
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0, written_ = 0;

  void copy_in(std::uint64_t at, const void* from, std::size_t size) noexcept;
};

/// The host's side. One thread.
class RingReader {
 public:
  RingReader() = default;
  RingReader(const RingMemory& memory, std::size_t ring);

  enum class Took : std::uint8_t { nothing, record, broken };
  /// The next record's bytes, into `into` (whose room is kept). `broken`: the writer's positions
  /// or a length make no sense; nothing more can be taken from this ring.
  [[nodiscard]] Took take(std::vector<std::byte>& into);
  [[nodiscard]] std::uint64_t lost() const noexcept {
    return head_->lost.load(std::memory_order_relaxed);
  }

 private:
  RingHead* head_ = nullptr;
  const std::byte* data_ = nullptr;
  std::uint64_t size_ = 0, taken_ = 0;
  bool broken_ = false;

  void copy_out(std::uint64_t at, void* into, std::size_t size) const noexcept;
};

}  // namespace vitrine::probe
