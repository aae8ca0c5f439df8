// NetworkTap: what goes through one network card, from QEMU's own filter, added while it runs.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/problem.h"
#include "format/pcap.h"
#include "machine/growing_file.h"
#include "machine/guardian.h"
#include "machine/monitor.h"
#include "machine/network_cards.h"

namespace vitrine {

class NetworkTap {
 public:
  /// Puts a filter-dump before the card's backend. It writes into a file in memory of ours: a
  /// reader that stalls holds up no packet.
  /// @returns unsupported  the card has no backend, or one that QEMU does not filter (vhost)
  [[nodiscard]] static Outcome<std::unique_ptr<NetworkTap>> open(const Monitor& monitor,
                                                                 Guardian& guardian,
                                                                 const NetworkCard& card);

  NetworkTap(const NetworkTap&) = delete;
  NetworkTap& operator=(const NetworkTap&) = delete;
  /// Takes the filter away.
  ~NetworkTap();

  /// The next packet, its time set by the host's wall clock; nothing if none is there.
  /// QEMU stamps packets by the guest's own clock; the difference to the host's is taken at the
  /// first packet and after a pause, so distances are QEMU's and the whole is late by one look.
  /// @returns malformed  QEMU wrote nonsense
  [[nodiscard]] Result<std::optional<format::PcapPacket>> next();
  /// Bytes that QEMU has written and nobody has taken.
  [[nodiscard]] std::uint64_t waiting() const { return file_.waiting(); }
  [[nodiscard]] const NetworkCard& card() const noexcept { return card_; }
  /// Takes the filter away now; what it has seen until then can still be taken.
  void close();

 private:
  NetworkTap(const Monitor& monitor, Guardian& guardian, NetworkCard card, GrowingFile file)
      : monitor_(monitor), guardian_(guardian), card_(std::move(card)), file_(std::move(file)) {}

  const Monitor monitor_;
  Guardian& guardian_;
  NetworkCard card_;
  GrowingFile file_;
  format::PcapStream stream_;
  std::string id_;
  std::optional<std::uint64_t> promise_;
  std::optional<std::int64_t> difference_;  ///< host's wall clock minus QEMU's stamps
};

}  // namespace vitrine
