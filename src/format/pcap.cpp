#include "format/pcap.h"

namespace vitrine::format {
namespace {

constexpr std::size_t kFileHeader = 24, kPacketHeader = 16;

}  // namespace

void PcapStream::drop(std::size_t count) {
  used_ += count;
  if (used_ < 64 * 1024 && used_ != buffer_.size()) return;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
}

Result<std::optional<PcapPacket>> PcapStream::next() {
  if (broken_) return fail(Errc::malformed, 0, "pcap");
  const auto rest = Bytes(buffer_).subspan(used_);
  if (!begun_) {
    if (rest.size() < kFileHeader) return std::optional<PcapPacket>{};
    const auto magic = *load<std::uint32_t>(rest, 0);
    broken_ = magic != 0xa1b2c3d4U && magic != 0xa1b23c4dU;
    if (broken_) return fail(Errc::malformed, magic, "pcap.magic");
    nanoseconds_ = magic == 0xa1b23c4dU;
    link_type_ = *load<std::uint32_t>(rest, 20);
    begun_ = true;
    drop(kFileHeader);
    return next();
  }
  if (rest.size() < kPacketHeader) return std::optional<PcapPacket>{};
  const std::uint64_t seconds = *load<std::uint32_t>(rest, 0),
                      fraction = *load<std::uint32_t>(rest, 4);
  const auto captured = *load<std::uint32_t>(rest, 8), length = *load<std::uint32_t>(rest, 12);
  broken_ = captured > kLongestPacket || captured > length || fraction >= 1'000'000'000U;
  if (broken_) return fail(Errc::malformed, captured, "pcap.incl_len");
  if (rest.size() - kPacketHeader < captured) return std::optional<PcapPacket>{};
  PcapPacket packet;
  packet.time_ns = seconds * 1'000'000'000U + fraction * (nanoseconds_ ? 1U : 1000U);
  packet.length = length;
  const auto bytes = rest.subspan(kPacketHeader, captured);
  packet.bytes.assign(bytes.begin(), bytes.end());
  drop(kPacketHeader + captured);
  return packet;
}

}  // namespace vitrine::format
