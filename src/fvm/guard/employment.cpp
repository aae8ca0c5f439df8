#include "fvm/guard/employment.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>

#include "fvm/packet.h"
#include "fvm/supervisor/microvm.h"
#include "machine/qmp.h"

namespace vitrine::fvm {
namespace {

Outcome<std::vector<MapSegment>> to_process(const std::vector<MapSegment>& layout,
                                            const std::vector<RamFile>& files,
                                            const FileDescriptor& door) {
  RamPacket packet{.files = static_cast<std::uint32_t>(files.size())};
  std::vector<int> descriptors;
  for (std::size_t i = 0; i < files.size(); ++i) {
    packet.kinds[i] = static_cast<std::uint8_t>(files[i].kind);
    descriptors.push_back(files[i].file.get());
  }
  TRY(send_packet(door.get(), packet_bytes(packet), descriptors));
  return layout;
}

/// Cuts [offset, offset + size) into pieces that a BAR can show: powers of two.
std::vector<std::pair<std::uint64_t, std::uint64_t>> bar_pieces(std::uint64_t offset,
                                                                std::uint64_t size) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> pieces;
  while (size > 0) {
    const auto piece = std::min(std::bit_floor(size), kLargestPiece);
    pieces.emplace_back(offset, piece);
    offset += piece;
    size -= piece;
  }
  return pieces;
}

/// One read-only device a piece, plugged behind a root port each.
Outcome<std::vector<MapSegment>> to_microvm(const std::vector<MapSegment>& layout,
                                            const std::vector<RamFile>& files,
                                            FileDescriptor door) {
  auto qmp = TRY(Qmp::adopt(std::move(door),
                            {std::chrono::milliseconds(2000), std::chrono::milliseconds(5000)}));
  std::vector<MapSegment> segments;
  std::uint32_t port = 0;
  for (std::uint32_t number = 0; number < files.size(); ++number) {
    if (files[number].kind != RamFile::Kind::shared) {
      return std::unexpected(
          Problem(Errc::unsupported, "RAM that only its QEMU has cannot be shown to a microVM"));
    }
    std::uint64_t end = 0;
    for (const auto& segment : layout) {
      if (segment.backing == number) end = std::max(end, segment.offset + segment.range.size);
    }
    for (const auto& [offset, size] : bar_pieces(0, end)) {
      if (port >= kRamPorts)
        return std::unexpected(
            Problem(Errc::too_large, "the guest's RAM has more pieces than a microVM has ports"));
      const auto added = nlohmann::json::parse(
          TRY(qmp->execute_with_file("add-fd", fmt::format(R"({{"fdset-id":{}}})", port),
                                     files[number].file.get())),
          nullptr, false);
      if (!added.is_object() || !added.contains("fd") || !added["fd"].is_number_integer())
        return std::unexpected(Problem(Errc::protocol, "add-fd"));
      TRY(qmp->execute(
          "object-add",
          fmt::format(
              R"({{"qom-type":"memory-backend-file","id":"guest{}","size":{},"mem-path":"/proc/self/fd/{}","offset":{},"share":true,"readonly":true,"rom":"on"}})",
              port, size, added["fd"].get<int>(), offset)));
      TRY(qmp->execute(
          "device_add",
          fmt::format(
              R"({{"driver":"ivshmem-plain","id":"show{0}","memdev":"guest{0}","bus":"ram{0}"}})",
              port)));
      for (const auto& segment : layout) {
        if (segment.backing != number) continue;
        const auto first = std::max(segment.offset, offset),
                   last = std::min(segment.offset + segment.range.size, offset + size);
        if (first < last)
          segments.push_back({{segment.range.start + (first - segment.offset), last - first},
                              port,
                              first - offset});
      }
      ++port;
    }
  }
  return segments;
}

}  // namespace

Outcome<std::vector<MapSegment>> hand_over(Isolation isolation,
                                           const std::vector<MapSegment>& layout,
                                           const std::vector<RamFile>& files, FileDescriptor door) {
  if (layout.empty() || files.empty())
    return std::unexpected(Problem(Errc::not_found, "the guest's RAM is not known yet"));
  if (isolation == Isolation::process) return to_process(layout, files, door);
  return to_microvm(layout, files, std::move(door));
}

}  // namespace vitrine::fvm
