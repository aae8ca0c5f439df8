#include "format/avml.h"

#include <algorithm>
#include <optional>

namespace vitrine::format {
namespace {

constexpr std::uint64_t kHeaderSize = 32;
constexpr std::uint32_t kMagic = 0x4c4d5641;
constexpr std::uint64_t kMostDecoded = 64 * kKiB;  // of a frame
constexpr std::uint64_t kMostPacked = 128 * kKiB;  // more than bytes that cannot be packed take
constexpr std::uint64_t kChecksum = 4;
constexpr std::size_t kMostChunks = std::size_t{1} << 24U;

struct Frame {
  std::uint8_t type = 0;
  std::uint64_t body = 0, size = 0;

  static constexpr std::uint8_t kSnappy = 0, kPlain = 1, kFirstSkippable = 0x80;
};

std::optional<Frame> frame_at(Bytes file, std::uint64_t at) {
  const auto head = load<std::uint32_t>(file, at);
  if (!head) return std::nullopt;
  return Frame{static_cast<std::uint8_t>(*head), at + 4, *head >> 8U};
}

}  // namespace

Result<AvmlFile> parse_avml(Bytes file) {
  AvmlFile image;
  std::uint64_t at = 0;
  while (at < file.size()) {
    const auto first = load<std::uint64_t>(file, at + 8);
    const auto last = load<std::uint64_t>(file, at + 16);
    if (load<std::uint32_t>(file, at) != kMagic || !slice(file, at, kHeaderSize) || !first || !last)
      return fail(Errc::malformed, at, "AVML header");
    if (load<std::uint32_t>(file, at + 4) != 2U) return fail(Errc::unsupported, at, "AVML version");
    if (*last < *first || *last - *first == UINT64_MAX || *last >> 52U != 0)
      return fail(Errc::malformed, at, "AVML range");
    at += kHeaderSize;
    const auto end = *last + 1;
    for (auto gpa = *first; gpa < end;) {
      const auto frame = frame_at(file, at);
      if (!frame || frame->size > file.size() - frame->body) {
        image.missing_bytes = end - gpa;
        if (image.chunks.empty()) return fail(Errc::malformed, at, "AVML file holds nothing");
        return image;
      }
      at = frame->body + frame->size;
      if (frame->type >= Frame::kFirstSkippable) continue;
      if (frame->type > Frame::kPlain) return fail(Errc::unsupported, at, "snappy frame");
      if (frame->size < kChecksum) return fail(Errc::malformed, at, "snappy frame");
      const auto packed = file.subspan(frame->body + kChecksum, frame->size - kChecksum);
      const bool plain = frame->type == Frame::kPlain;
      const auto size = plain ? packed.size() : TRY(snappy_length(packed));
      if (size == 0) continue;
      if (size > kMostDecoded || size > end - gpa || packed.size() > kMostPacked)
        return fail(Errc::malformed, frame->body, "snappy frame");
      if (image.chunks.size() == kMostChunks) return fail(Errc::too_large, at, "AVML chunks");
      image.chunks.push_back({{Gpa{gpa}, size},
                              frame->body + kChecksum,
                              static_cast<std::uint32_t>(packed.size()),
                              plain ? Compression::none : Compression::snappy});
      gpa += size;
    }
    at += 8;  // the stream's length
  }
  if (image.chunks.empty()) return fail(Errc::malformed, 0, "AVML file holds nothing");
  return image;
}

}  // namespace vitrine::format
