// pcapng: capture files as Wireshark reads them, written block by block.
//
// Source: draft-ietf-opsawg-pcapng. Little-endian, nanoseconds, Ethernet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace vitrine::format {

struct PcapngInterface {
  std::string name;  ///< "virtio-net-pci.0"
  std::string description;
  std::uint16_t link_type = 1;
  std::uint32_t snap_length = 0;  ///< 0: no limit
};

/// The section's header: stands first, once. `application` and `hardware` say who wrote it and of
/// what.
[[nodiscard]] std::string pcapng_header(std::string_view application, std::string_view hardware);
/// Interfaces are numbered from 0 in the order in which they are written.
[[nodiscard]] std::string pcapng_interface(const PcapngInterface& interface);
/// One packet. `length` is what it had on the wire: at least bytes.size().
[[nodiscard]] std::string pcapng_packet(std::uint32_t interface, std::uint64_t time_ns, Bytes bytes,
                                        std::uint32_t length);
/// What an interface has seen and lost, at the end.
[[nodiscard]] std::string pcapng_statistics(std::uint32_t interface, std::uint64_t time_ns,
                                            std::uint64_t received, std::uint64_t dropped);

}  // namespace vitrine::format
