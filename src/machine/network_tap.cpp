#include "machine/network_tap.h"

#include <fmt/format.h>
#include <time.h>

#include <nlohmann/json.hpp>

namespace vitrine {
namespace {

std::int64_t wall_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::string named(const std::string& id) { return fmt::format(R"({{"id":{}}})", json_quoted(id)); }

}  // namespace

Outcome<std::unique_ptr<NetworkTap>> NetworkTap::open(const Monitor& monitor, Guardian& guardian,
                                                      const NetworkCard& card) {
  if (card.backend.empty())
    return std::unexpected(
        Problem(Errc::unsupported, fmt::format("the card {} is plugged into nothing", card.name)));
  std::unique_ptr<NetworkTap> tap(
      new NetworkTap(monitor, guardian, card, TRY(GrowingFile::create("vitrine-network"))));
  auto qmp = TRY(monitor.talk());  // after `tap`, whose end needs the socket
  // One number a card: two taps of one process never share a name.
  tap->id_ = fmt::format("{}net-{}", OwnerMark::self().prefix(), tap->file_.descriptor());
  Undo undo;
  undo.commands.push_back({"object-del", named(tap->id_)});
  tap->promise_ = TRY(guardian.promise(undo));
  const auto added = nlohmann::json::parse(
      TRY(qmp->execute_with_file("add-fd", {}, tap->file_.descriptor())), nullptr, false);
  if (!added.is_object() || !added.contains("fd") || !added["fd"].is_number_integer() ||
      !added.contains("fdset-id") || !added["fdset-id"].is_number_integer()) {
    return std::unexpected(Problem(Errc::protocol, "add-fd answered nonsense"));
  }
  const auto made = qmp->execute(
      "object-add",
      fmt::format(
          R"({{"qom-type":"filter-dump","id":{},"netdev":{},"file":"/proc/self/fd/{}","maxlen":262144}})",
          json_quoted(tap->id_), json_quoted(card.backend), added["fd"].get<long long>()));
  (void)qmp->execute("remove-fd",
                     fmt::format(R"({{"fdset-id":{}}})", added["fdset-id"].get<long long>()));
  if (!made) {
    guardian.kept(*tap->promise_);
    tap->promise_.reset();
    return std::unexpected(Problem(
        Errc::unsupported, fmt::format("QEMU does not filter the card {} (backend {}, {}): {}",
                                       card.name, card.backend, card.kind, made.error().message)));
  }
  return tap;
}

NetworkTap::~NetworkTap() { close(); }

void NetworkTap::close() {
  if (!promise_) return;
  if (auto qmp = monitor_.talk(); qmp && (*qmp)->execute("object-del", named(id_)))
    guardian_.kept(*promise_);
  promise_.reset();
}

Result<std::optional<format::PcapPacket>> NetworkTap::next() {
  auto packet = TRY(stream_.next());
  if (!packet) {
    const auto bytes = file_.take();
    if (bytes.empty()) return packet;
    stream_.feed(bytes_of(bytes));
    packet = TRY(stream_.next());
    if (!packet) return packet;
  }
  const auto difference = wall_ns() - static_cast<std::int64_t>(packet->time_ns);
  // Anew where a packet would lie in the future, or far behind: the guest's clock stands while it
  // is paused.
  constexpr std::int64_t kLate = 1'000'000'000;
  if (!difference_ || difference < *difference_ || difference - *difference_ > kLate)
    difference_ = difference;
  packet->time_ns =
      static_cast<std::uint64_t>(static_cast<std::int64_t>(packet->time_ns) + *difference_);
  return packet;
}

}  // namespace vitrine
