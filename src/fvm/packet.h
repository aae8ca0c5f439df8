// Packets with descriptors over a SEQPACKET socket pair: how the supervisor, its guards and
// process FVMs talk. A packet is one struct of fixed layout, or its beginning.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

inline constexpr std::size_t kMostDescriptors = 32;

struct Packet {
  std::vector<std::byte> bytes;
  std::vector<FileDescriptor> descriptors;
};

/// Both ends close on exec. @returns io
[[nodiscard]] Result<std::pair<FileDescriptor, FileDescriptor>> packet_pair();

/// Never blocks. @returns vanished  the other end is closed; timeout  its queue is full; io
[[nodiscard]] Result<void> send_packet(int socket, Bytes bytes,
                                       const std::vector<int>& descriptors = {});

/// Never blocks unless `wait`. @returns nothing  there is none yet
/// @returns vanished   the other end is closed
/// @returns too_large  a packet of more than `limit` bytes: dropped
[[nodiscard]] Result<std::optional<Packet>> receive_packet(int socket, std::size_t limit,
                                                           bool wait = false);

}  // namespace vitrine::fvm
