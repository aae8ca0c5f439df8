// Counters: `@n = count()` without a call: where a block does nothing but count, the translated
// code itself adds one, to a word of the virtual CPU's own.
//
// The words are folded into the program's maps before anyone looks at those.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "probe/agent/plugin_abi.h"
#include "probe/maps.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// The map that the probe's block counts in, if counting (without keys) is all that it does and
/// no block of the program reads that map.
[[nodiscard]] std::optional<unsigned> counted_map(const vmipl::Program& program,
                                                  std::uint32_t probe);

/// A program's maps as the control protocol sees them.
class Counters final : public MapStore {
 public:
  explicit Counters(LocalMaps& maps) : maps_(maps) {}
  ~Counters() override;

  /// The counter of a map: made at the first call. `api` must outlive this.
  [[nodiscard]] PluginCounter counter(unsigned map, const PluginApi& api);
  /// All that was counted by translated code so far.
  [[nodiscard]] std::uint64_t total();

  std::optional<std::uint64_t> get(unsigned map, Keys keys) noexcept override {
    return folded(map).get(map, keys);
  }
  std::optional<std::size_t> get_text(unsigned map, Keys keys,
                                      std::span<char> into) noexcept override {
    return maps_.get_text(map, keys, into);
  }
  void set(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    maps_.set(map, keys, value);
  }
  void set_text(unsigned map, Keys keys, std::string_view value) noexcept override {
    maps_.set_text(map, keys, value);
  }
  void add(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    maps_.add(map, keys, value);
  }
  void update(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    maps_.update(map, keys, value);
  }
  void remove(unsigned map, Keys keys) noexcept override { folded(map).remove(map, keys); }
  void clear(unsigned map) noexcept override { folded(map).clear(map); }
  std::uint64_t length(unsigned map) noexcept override { return folded(map).length(map); }
  std::vector<MapRow> snapshot(unsigned map) override { return folded(map).snapshot(map); }
  std::uint64_t lost(unsigned map) override { return maps_.lost(map); }
  void restore(unsigned map, const SavedMap& saved) override { maps_.restore(map, saved); }

 private:
  struct Counter {
    unsigned map;
    PluginScoreboard* board;
    std::vector<std::uint64_t> seen;  ///< by virtual CPU: what was folded already
  };
  LocalMaps& folded(unsigned map) noexcept;

  LocalMaps& maps_;
  const PluginApi* api_ = nullptr;
  std::mutex mutex_;
  std::vector<Counter> counters_;
  std::uint64_t total_ = 0;
};

}  // namespace vitrine::probe
