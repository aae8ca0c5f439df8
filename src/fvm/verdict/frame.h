// Frame: the only thing that ever leaves an FVM. 512 bytes, always.
//
//   offset  size
//        0     4  "VTRV"
//        4     2  version, 1
//        6     1  type
//        7     1  zero
//        8     8  number: 1, 2, 3 ... of this FVM
//       16     8  generation: which assignment it speaks of; 0: none yet
//       24     2  length of this part, at most 472
//       26     2  part: 0 ...
//       28     2  parts: of the message
//       30     2  zero
//       32     8  XXH3 (64 bits) of bytes 0..31 and 40..511
//       40   472  payload, zeros behind its length
//
// All numbers are little-endian. A frame that breaks any of this is refused whole. The
// checksum tells a broken channel from a lying one; against a liar it proves nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::fvm {

inline constexpr std::size_t kFrameBytes = 512;
inline constexpr std::size_t kPartBytes = 472;
inline constexpr std::uint16_t kFrameVersion = 1;

enum class FrameType : std::uint8_t {
  heartbeat = 1,  ///< a Heartbeat, one part
  finding = 2,    ///< parts of a saved finding: the guest shows it
  gone = 3,       ///< parts of a saved finding: the guest no longer shows it
  complete = 4,   ///< a Completion: every symptom was looked for, all that stands was reported
  canary = 5,     ///< parts of a saved finding: the answer to the control page's challenge
  note = 6,       ///< one part of text: for the log
  begin = 7,  ///< one part of text, the guest's kernel: what stands is reported anew from here on
};

using FrameBytes = std::array<std::byte, kFrameBytes>;

struct Frame {
  FrameType type = FrameType::heartbeat;
  std::uint64_t number = 0;
  std::uint64_t generation = 0;
  std::uint16_t length = 0;
  std::uint16_t part = 0, parts = 1;
  std::array<std::byte, kPartBytes> payload{};

  [[nodiscard]] Bytes part_bytes() const { return Bytes(payload).first(length); }
};

[[nodiscard]] FrameBytes encode(const Frame& frame);

/// @returns protocol     not a frame of ours, or its checksum is wrong
/// @returns unsupported  another version
/// @returns malformed    a type, length, part or filling that the format forbids
[[nodiscard]] Result<Frame> decode(Bytes bytes);

}  // namespace vitrine::fvm
