// LocalMaps: the maps of one program in this process's memory.
//
// All room is reserved at the start and touched when it is used: a change allocates nothing and
// takes one lock, the map's. What finds no room is counted. The hash is seeded anew each time, so
// that a guest cannot choose keys that collide.
#pragma once

#include <memory>
#include <vector>

#include "base/problem.h"
#include "probe/map_store.h"
#include "vmipl/program.h"

namespace vitrine::probe {

struct MapLimits {
  std::uint32_t entries = 65536;                ///< of each map; a power of two
  std::uint32_t text_bytes = 32 * 1024 * 1024;  ///< keys and texts of each map
};

class LocalMaps final : public MapStore {
 public:
  /// @param maps  of a verified program; copied.
  /// @returns io  the operating system gives no address space
  [[nodiscard]] static Outcome<std::unique_ptr<LocalMaps>> create(
      const std::vector<vmipl::MapInfo>& maps, MapLimits limits = {});
  ~LocalMaps() override;

  std::optional<std::uint64_t> get(unsigned map, Keys keys) noexcept override;
  std::optional<std::size_t> get_text(unsigned map, Keys keys,
                                      std::span<char> into) noexcept override;
  void set(unsigned map, Keys keys, std::uint64_t value) noexcept override;
  void set_text(unsigned map, Keys keys, std::string_view value) noexcept override;
  void add(unsigned map, Keys keys, std::uint64_t value) noexcept override;
  void update(unsigned map, Keys keys, std::uint64_t value) noexcept override;
  /// As `times` calls of update() with the same value; of count() alone.
  void count_many(unsigned map, Keys keys, std::uint64_t value, std::uint64_t times) noexcept;
  void remove(unsigned map, Keys keys) noexcept override;
  void clear(unsigned map) noexcept override;
  std::uint64_t length(unsigned map) noexcept override;
  std::vector<MapRow> snapshot(unsigned map) override;
  std::uint64_t lost(unsigned map) override;
  void restore(unsigned map, const SavedMap& saved) override;

 private:
  class Table;
  LocalMaps() = default;
  std::vector<std::unique_ptr<Table>> tables_;
};

}  // namespace vitrine::probe
