#include "probe/agent/remote_maps.h"

#include <algorithm>

namespace vitrine::probe {

std::optional<MapReply> RemoteMaps::ask(MapRequest::Operation operation, unsigned map, Keys keys,
                                        ValueView value) noexcept {
  MapRequest request;
  request.operation = operation;
  request.map = map;
  request.generation = generation_;
  for (const auto& key : keys) request.keys.emplace_back(key);
  request.value = value;
  const auto message = agent_.request(MessageKind::map, encode(request), MessageKind::map_reply);
  if (!message) return std::nullopt;
  auto reply = decode_message<MapReply>(message->body);
  if (!reply || !reply->there) return std::nullopt;
  return std::move(*reply);
}

void RemoteMaps::keep() {
  if (kept() != nullptr) return;
  auto made = LocalMaps::create(shapes_);
  if (!made) return;
  for (unsigned i = 0; i < shapes_.size(); ++i) (*made)->restore(i, save(i));
  copy_ = std::move(*made);
  kept_.store(copy_.get(), std::memory_order_release);
}

std::optional<std::uint64_t> RemoteMaps::get(unsigned map, Keys keys) noexcept {
  if (auto* maps = kept()) return maps->get(map, keys);
  const auto reply = ask(MapRequest::get, map, keys);
  return reply ? std::optional(reply->number) : std::nullopt;
}
std::optional<std::size_t> RemoteMaps::get_text(unsigned map, Keys keys,
                                                std::span<char> into) noexcept {
  if (auto* maps = kept()) return maps->get_text(map, keys, into);
  const auto reply = ask(MapRequest::get_text, map, keys);
  if (!reply) return std::nullopt;
  const auto size = std::min(reply->text.size(), into.size());
  std::copy_n(reply->text.begin(), size, into.begin());
  return size;
}
std::uint64_t RemoteMaps::length(unsigned map) noexcept {
  if (auto* maps = kept()) return maps->length(map);
  const auto reply = ask(MapRequest::length, map, {});
  return reply ? reply->number : 0;
}
std::vector<MapRow> RemoteMaps::snapshot(unsigned map) {
  if (auto* maps = kept()) return maps->snapshot(map);
  auto reply = ask(MapRequest::snapshot, map, {});
  return reply ? std::move(reply->rows) : std::vector<MapRow>{};
}
std::uint64_t RemoteMaps::lost(unsigned map) {
  if (auto* maps = kept()) return maps->lost(map);
  const auto reply = ask(MapRequest::lost, map, {});
  return reply ? reply->number : 0;
}
void RemoteMaps::restore(unsigned map, const SavedMap& saved) {
  restored_.resize(shapes_.size());
  restored_[map] = saved;
}

}  // namespace vitrine::probe
