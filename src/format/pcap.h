// pcap: the old capture format, as a stream that grows. Bytes in, packets out.
//
// Source: draft-ietf-opsawg-pcap; QEMU's filter-dump writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

struct PcapPacket {
  std::uint64_t time_ns = 0;     ///< as the writer's clock had it
  std::uint32_t length = 0;      ///< on the wire
  std::vector<std::byte> bytes;  ///< what was captured of it; at most `length`
};

/// Takes a pcap file piece by piece.
class PcapStream {
 public:
  static constexpr std::uint32_t kLongestPacket = 256 * 1024;

  void feed(Bytes bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }
  /// The next packet that is complete; nothing if it is not there yet.
  /// @returns malformed  not pcap, or a length that cannot be: nothing more is taken from it
  [[nodiscard]] Result<std::optional<PcapPacket>> next();
  /// Of the file's header; 1 is Ethernet. 0 before it has come.
  [[nodiscard]] std::uint32_t link_type() const { return link_type_; }

 private:
  void drop(std::size_t count);
  std::vector<std::byte> buffer_;
  std::size_t used_ = 0;
  std::uint32_t link_type_ = 0;
  bool begun_ = false, nanoseconds_ = false, broken_ = false;
};

}  // namespace vitrine::format
