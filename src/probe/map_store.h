// MapStore: a program's maps, wherever they live.
//
// The interpreter knows only this. In one process it is LocalMaps; where the agent runs a part
// of a program, the maps live there, and the host's probes reach them over its socket.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "probe/value.h"

namespace vitrine::probe {

using Keys = std::span<const ValueView>;

/// What a map holds under one key.
struct MapRow {
  std::vector<Value> keys;
  Value value;              ///< maps without aggregation
  std::uint64_t count = 0;  ///< how many values went in: of any aggregation
  std::uint64_t sum = 0;    ///< modulo 2^64
  std::uint64_t least = 0, greatest = 0;
  std::vector<std::uint64_t>
      buckets;  ///< histogram: kHistogramBuckets; linear: below, the steps, above
  bool operator==(const MapRow&) const = default;
};

/// A whole map, as it is handed on.
struct SavedMap {
  std::vector<MapRow> rows;
  std::uint64_t lost = 0;
  bool operator==(const SavedMap&) const = default;
};

/// Buckets of histogram(): [0] less than zero, [1] zero, [2 + n] from 2^n to below 2^(n+1).
inline constexpr std::size_t kHistogramBuckets = 66;

/// Thread-safe; every call may come from another thread. A key that is missing is the caller's
/// business: keys here are there. Types are those of the program's MapInfo, which verify() checked.
class MapStore {
 public:
  virtual ~MapStore() = default;
  /// Of an aggregation: count, sum, min, max, avg as a number.
  [[nodiscard]] virtual std::optional<std::uint64_t> get(unsigned map, Keys keys) noexcept = 0;
  [[nodiscard]] virtual std::optional<std::size_t> get_text(unsigned map, Keys keys,
                                                            std::span<char> into) noexcept = 0;
  virtual void set(unsigned map, Keys keys, std::uint64_t value) noexcept = 0;
  virtual void set_text(unsigned map, Keys keys, std::string_view value) noexcept = 0;
  /// Adds modulo 2^64; an entry that is not there is 0.
  virtual void add(unsigned map, Keys keys, std::uint64_t value) noexcept = 0;
  /// The map's aggregation takes the value.
  virtual void update(unsigned map, Keys keys, std::uint64_t value) noexcept = 0;
  virtual void remove(unsigned map, Keys keys) noexcept = 0;
  virtual void clear(unsigned map) noexcept = 0;
  [[nodiscard]] virtual std::uint64_t length(unsigned map) noexcept = 0;

  // For the host, not for a firing: these allocate.
  /// All rows, in no order, as of one moment.
  [[nodiscard]] virtual std::vector<MapRow> snapshot(unsigned map) = 0;
  /// Entries and changes that found no room, since the start.
  [[nodiscard]] virtual std::uint64_t lost(unsigned map) = 0;
  /// What another store's map of the same shape held, in the place of what is here. Rows of
  /// another shape are counted as lost. Of a source's maps: before its program is started.
  virtual void restore(unsigned map, const SavedMap& saved) = 0;
  [[nodiscard]] SavedMap save(unsigned map) { return {snapshot(map), lost(map)}; }
};

}  // namespace vitrine::probe
