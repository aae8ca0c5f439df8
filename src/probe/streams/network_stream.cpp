// CaptureNetwork: packets of one card or of all, as one pcapng.
#include <fmt/format.h>

#include <algorithm>

#include "base/address.h"
#include "format/pcapng.h"
#include "machine/network_tap.h"
#include "probe/streams/stream.h"

namespace vitrine::probe {
namespace {

// Far more than a look's worth; a reader that is so late will not catch up.
constexpr std::uint64_t kMostWaiting = 256 * kMiB;

class NetworkStream final : public Stream {
 public:
  NetworkStream(std::string machine, std::vector<std::unique_ptr<NetworkTap>> taps)
      : machine_(std::move(machine)) {
    for (auto& tap : taps) cards_.push_back({std::move(tap), 0, false});
  }

  void pump(const StreamOut& out) override {
    begin(out);
    for (std::uint32_t i = 0; i < cards_.size(); ++i) take(i, out);
  }
  void finish(const StreamOut& out) override {
    for (auto& card : cards_) card.tap->close();
    pump(out);
    for (std::uint32_t i = 0; i < cards_.size(); ++i) {
      out(format::pcapng_statistics(i, static_cast<std::uint64_t>(wall_now_ns()), cards_[i].packets,
                                    0));
    }
  }
  [[nodiscard]] std::vector<std::string> losses() const override { return losses_; }

 private:
  struct Card {
    std::unique_ptr<NetworkTap> tap;
    std::uint64_t packets;
    bool ended;
  };

  void begin(const StreamOut& out) {
    if (begun_) return;
    begun_ = true;
    std::string head = format::pcapng_header("Vitrine", machine_);
    for (const auto& card : cards_) {
      head += format::pcapng_interface(
          {card.tap->card().name,
           fmt::format("{} {}", card.tap->card().model, card.tap->card().mac), 1, 0});
    }
    out(head);
  }

  void take(std::uint32_t i, const StreamOut& out) {
    auto& card = cards_[i];
    if (card.ended) return;
    if (card.tap->waiting() > kMostWaiting) {
      losses_.push_back(
          fmt::format("{}: switched off, as {} MiB of packets waited and nobody took them",
                      card.tap->card().name, card.tap->waiting() / kMiB));
      card.tap->close();
      card.ended = true;
      return;
    }
    while (true) {
      const auto packet = card.tap->next();
      if (!packet) {
        losses_.push_back(fmt::format("{}: QEMU wrote what is no packet: the capture ends there",
                                      card.tap->card().name));
        card.ended = true;
        return;
      }
      if (!*packet) return;
      ++card.packets;
      out(format::pcapng_packet(i, (*packet)->time_ns, (*packet)->bytes, (*packet)->length));
    }
  }

  std::string machine_;
  std::vector<Card> cards_;
  std::vector<std::string> losses_;
  bool begun_ = false;
};

}  // namespace

Outcome<std::vector<NetworkCard>> cards_meant(Qmp& qmp, const vmipl::ProgramProbe& probe) {
  auto cards = parse_network_cards(TRY(qmp.human("info network")));
  std::string all;
  for (const auto& card : cards)
    all += fmt::format("{}{} ({})", all.empty() ? "" : ", ", card.mac, card.name);
  if (cards.empty())
    return std::unexpected(Problem(Errc::not_found, "the machine has no network card"));
  const auto& argument = probe.arguments.at(0);
  if (argument.kind != vmipl::ProbeArgument::pattern) {
    std::string mac;
    for (int shift = 40; shift >= 0; shift -= 8)
      mac += fmt::format("{}{:02x}", mac.empty() ? "" : ":", argument.number_value >> shift & 0xff);
    std::erase_if(cards, [&](const NetworkCard& card) { return card.mac != mac; });
    if (cards.empty())
      return std::unexpected(Problem(Errc::not_found,
                                     fmt::format("the machine has no network card {}", mac),
                                     fmt::format("it has {}", all)));
  }
  std::erase_if(cards, [](const NetworkCard& card) { return card.backend.empty(); });
  if (cards.empty())
    return std::unexpected(
        Problem(Errc::unsupported, "the card is plugged into nothing: no packet goes through it"));
  return cards;
}

Outcome<std::unique_ptr<Stream>> network_stream(const Monitor& monitor, Guardian& guardian,
                                                const vmipl::ProgramProbe& probe) {
  std::vector<NetworkCard> cards;
  {
    auto qmp = TRY(monitor.talk());
    cards = TRY(cards_meant(*qmp, probe));
  }
  std::vector<std::unique_ptr<NetworkTap>> taps;
  for (const auto& card : cards) taps.push_back(TRY(NetworkTap::open(monitor, guardian, card)));
  return std::make_unique<NetworkStream>(monitor.process().name(), std::move(taps));
}

}  // namespace vitrine::probe
