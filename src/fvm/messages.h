// What the supervisor, guards and process FVMs say to each other, as bytes. All parts are of
// one build; still every length and number is checked on receipt, because a guard that fell
// must not take the supervisor with it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "memory/memory_map.h"

namespace vitrine::fvm {

inline constexpr std::size_t kMostRamFiles = 8;
inline constexpr std::size_t kMostRanges = 512;

enum class PacketType : std::uint32_t {
  ram = 1,  ///< guard to process FVM: the RAM files of its guest, once
  survey,   ///< guard to supervisor: where the guest's RAM lies in its QEMU
  layout,   ///< supervisor to guard: the same as files; with descriptors
  employ,   ///< supervisor to guard: an FVM; with its channel, control page and door
  bad,      ///< guard to supervisor: this FVM is to be replaced
  watched,  ///< guard to supervisor: this FVM answers for the guest
  status,   ///< guard to supervisor: once a second
  examine,  ///< supervisor to Super FVM: an FVM to look at; with its memory
  forget,   ///< supervisor to Super FVM: that one is no more
  super,    ///< Super FVM to supervisor: an FVM is bad, or: I live
  leave,    ///< supervisor to guard: write what there is and end
  words,    ///< supervisor to guard: a herald; with the pipe that it writes to
  threads,  ///< supervisor to guard: what the kernel says of an FVM's threads; as thread_files()
};

/// Why an FVM is replaced.
enum class Cause : std::uint32_t {
  exited = 1,  ///< its process ended
  stopped,     ///< its process was stopped by a signal
  silent,      ///< no heartbeat
  stuck,       ///< heartbeats, but the engine does not move or find the canary
  forged,      ///< what it says contradicts itself: counters, generation, canary
  protocol,    ///< frames that break the format
  flooded,     ///< more frames than its share
  altered,     ///< its memory is not what was measured
  guard_lost,  ///< its guard ended
  asked,       ///< an operator asked for it
  never,       ///< it did not take the guest up in time
};
[[nodiscard]] std::string_view words(Cause cause) noexcept;

enum class Isolation : std::uint32_t { process = 1, microvm = 2 };
[[nodiscard]] std::string_view name(Isolation isolation) noexcept;

struct RamPacket {
  PacketType type = PacketType::ram;
  std::uint32_t files = 0;
  std::array<std::uint8_t, kMostRamFiles> kinds{};  ///< RamFile::Kind
};

struct PlacedRange {
  std::uint64_t start, size;  ///< guest-physical
  std::uint64_t place;        ///< survey: address in QEMU; layout: offset into the file
  std::uint32_t file;         ///< layout only
  std::uint32_t zero;
};

struct RangesPacket {
  PacketType type = PacketType::survey;
  std::uint32_t ranges = 0;
  std::uint32_t files = 0;  ///< layout only
  std::array<std::uint8_t, kMostRamFiles> kinds{};
  std::uint32_t cpu_share = 10;
  std::array<PlacedRange, kMostRanges> range{};
};

struct EmployPacket {
  PacketType type = PacketType::employ;
  Isolation isolation = Isolation::process;
  std::uint64_t generation = 0;
  std::int64_t lost_ns = 0;  ///< CLOCK_MONOTONIC when the one before was lost; 0: none was
  Cause cause = Cause::asked;
  std::uint32_t patience = 1;  ///< how many times the usual limits, 1 to 16
};

struct BadPacket {
  PacketType type = PacketType::bad;
  Cause cause = Cause::silent;
  std::uint64_t generation = 0;
  std::int64_t since_ns = 0;  ///< CLOCK_MONOTONIC of its last good sign
};

struct WatchedPacket {
  PacketType type = PacketType::watched;
  std::uint32_t zero = 0;
  std::uint64_t generation = 0;
};

struct ThreadsPacket {
  PacketType type = PacketType::threads;
  std::uint32_t zero = 0;
  std::uint64_t generation = 0;
};

struct WordsPacket {
  PacketType type = PacketType::words;
  std::uint32_t zero = 0;
};

struct StatusPacket {
  PacketType type = PacketType::status;
  std::uint32_t phase = 0;
  std::uint64_t generation = 0;
  std::uint64_t passes = 0, pass_ns = 0, cpu_ns = 0;
  std::uint64_t longest_silence_ns = 0, kept_waiting_ns = 0;  ///< of this FVM
  std::uint64_t standing = 0, findings = 0, actions = 0, waiting = 0, refused = 0;
  std::uint64_t entries = 0;
  std::array<std::byte, 32> head{};
  std::uint32_t attached = 0;  ///< a kernel is known
  std::uint32_t applied =
      0;  ///< bits of what is done to the guest now: 1 frozen, 2 throttled, 4 isolated
};

template <class T>
[[nodiscard]] Bytes packet_bytes(const T& packet) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span<const T, 1>(&packet, 1));
}

/// The packet, if these bytes are one of its type and size.
template <class T>
[[nodiscard]] std::optional<T> packet_as(Bytes bytes) {
  if (bytes.size() != sizeof(T)) return std::nullopt;
  const auto packet = *load<T>(bytes, 0);
  if (packet.type != T{}.type) return std::nullopt;
  return packet;
}

/// Ranges of either type.
[[nodiscard]] inline std::optional<RangesPacket> ranges_packet(Bytes bytes, PacketType type) {
  if (bytes.size() != sizeof(RangesPacket)) return std::nullopt;
  const auto packet = *load<RangesPacket>(bytes, 0);
  if (packet.type != type || packet.ranges > kMostRanges || packet.files > kMostRamFiles)
    return std::nullopt;
  return packet;
}

}  // namespace vitrine::fvm
