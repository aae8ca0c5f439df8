// RemoteMaps: a program's maps in the agent, asked for over its socket.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "probe/agent/agent_exchange.h"
#include "probe/map_store.h"
#include "probe/maps.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// The program's maps, at the other end of the socket.
class RemoteMaps final : public MapStore {
 public:
  RemoteMaps(AgentExchange& agent, const vmipl::Program& program)
      : shapes_(program.maps), agent_(agent) {}
  std::optional<std::uint64_t> get(unsigned map, Keys keys) noexcept override;
  std::optional<std::size_t> get_text(unsigned map, Keys keys,
                                      std::span<char> into) noexcept override;
  void set(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    if (auto* maps = kept()) return maps->set(map, keys, value);
    (void)ask(MapRequest::set, map, keys, ValueView::of(value));
  }
  void set_text(unsigned map, Keys keys, std::string_view value) noexcept override {
    if (auto* maps = kept()) return maps->set_text(map, keys, value);
    (void)ask(MapRequest::set_text, map, keys, ValueView::of(value));
  }
  void add(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    if (auto* maps = kept()) return maps->add(map, keys, value);
    (void)ask(MapRequest::add, map, keys, ValueView::of(value));
  }
  void update(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    if (auto* maps = kept()) return maps->update(map, keys, value);
    (void)ask(MapRequest::update, map, keys, ValueView::of(value));
  }
  void remove(unsigned map, Keys keys) noexcept override {
    if (auto* maps = kept()) return maps->remove(map, keys);
    (void)ask(MapRequest::remove, map, keys);
  }
  void clear(unsigned map) noexcept override {
    if (auto* maps = kept()) return maps->clear(map);
    (void)ask(MapRequest::clear, map, {});
  }
  std::uint64_t length(unsigned map) noexcept override;
  std::vector<MapRow> snapshot(unsigned map) override;
  std::uint64_t lost(unsigned map) override;
  void restore(unsigned map, const SavedMap& saved) override;

  /// What restore() was given: it goes to the agent with the program. Empty: nothing.
  [[nodiscard]] std::vector<SavedMap> take_restored() { return std::exchange(restored_, {}); }
  /// The agent forgets its program's maps with the program: from here on they are a copy.
  void keep();
  /// Which load of this connection its program was; until then, what runs.
  void belongs_to(std::uint64_t generation) { generation_ = generation; }

 private:
  std::optional<MapReply> ask(MapRequest::Operation operation, unsigned map, Keys keys,
                              ValueView value = {}) noexcept;
  std::vector<vmipl::MapInfo> shapes_;
  [[nodiscard]] LocalMaps* kept() const noexcept { return kept_.load(std::memory_order_acquire); }
  std::unique_ptr<LocalMaps> copy_;
  std::atomic<LocalMaps*> kept_{nullptr};  ///< copy_, once it is whole: other threads look
  std::vector<SavedMap> restored_;
  std::atomic<std::uint64_t> generation_{0};
  AgentExchange& agent_;
};

}  // namespace vitrine::probe
