// Record: what leaves a program at a site, and how it crosses from the agent to the host.
//
// A record holds values, not words: the host formats it, by the program's site. The bytes come
// out of the process that runs the guest, so decode() trusts none of them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "probe/value.h"

namespace vitrine::probe {

inline constexpr std::uint16_t kRecordVersion = 1;
inline constexpr std::size_t kMaxRecord = 256 * 1024;  ///< bytes
inline constexpr std::size_t kMaxRecordValues = 1024;

struct RecordHead {
  std::uint64_t monotonic_ns = 0;  ///< CLOCK_MONOTONIC of the host
  std::int64_t wall_ns = 0;        ///< CLOCK_REALTIME of the host
  std::uint64_t sequence = 0;      ///< per CPU, from 0, without gaps where nothing was lost
  std::uint32_t cpu = kHostCpu;
  std::uint16_t probe = 0;                               ///< index into program.probes
  std::uint16_t site = 0;                                ///< index into program.sites
  std::int32_t pid = -1, tid = -1;                       ///< -1: unknown, or no process
  std::array<char, 16> process{};                        ///< its name, NUL-padded
  static constexpr std::uint32_t kHostCpu = 0xffffffff;  ///< the host's clock: no CPU

  [[nodiscard]] std::string_view name() const;
  void set_name(std::string_view name);
  bool operator==(const RecordHead&) const = default;
};

struct Record {
  RecordHead head;
  /// The site's operands in order; of a data probe what it read follows them.
  std::vector<Value> values;
  bool operator==(const Record&) const = default;
};

/// To bytes, without allocating. @returns bytes used; 0 if they do not fit
[[nodiscard]] std::size_t encode(const RecordHead& head, std::span<const ValueView> values,
                                 MutableBytes into) noexcept;

/// One record that fills `bytes`.
/// @returns malformed    cut short, too long, or not a record
/// @returns unsupported  of another version
/// @returns too_large    more values or bytes than a record has
[[nodiscard]] Result<Record> decode(Bytes bytes);

}  // namespace vitrine::probe
