#include "fvm/verdict/frame.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

namespace vitrine::fvm {
namespace {

constexpr std::uint32_t kMagic = 0x56525456;  // "VTRV"
constexpr std::size_t kHeader = 32, kPayload = 40;

template <class T>
void put(FrameBytes& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::uint64_t checksum(const std::byte* bytes) {
  std::array<std::byte, kFrameBytes - 8> covered;
  std::copy_n(bytes, kHeader, covered.begin());
  std::copy_n(bytes + kPayload, kPartBytes, covered.begin() + kHeader);
  return XXH3_64bits(covered.data(), covered.size());
}

}  // namespace

FrameBytes encode(const Frame& frame) {
  FrameBytes bytes{};
  put(bytes, 0, kMagic);
  put(bytes, 4, kFrameVersion);
  put(bytes, 6, static_cast<std::uint8_t>(frame.type));
  put(bytes, 8, frame.number);
  put(bytes, 16, frame.generation);
  put(bytes, 24, frame.length);
  put(bytes, 26, frame.part);
  put(bytes, 28, frame.parts);
  std::copy_n(frame.payload.begin(), std::min<std::size_t>(frame.length, kPartBytes),
              bytes.begin() + kPayload);
  put(bytes, 32, checksum(bytes.data()));
  return bytes;
}

Result<Frame> decode(Bytes bytes) {
  if (bytes.size() != kFrameBytes) return fail(Errc::malformed, bytes.size(), "frame size");
  if (*load<std::uint32_t>(bytes, 0) != kMagic) return fail(Errc::protocol, 0, "frame magic");
  if (*load<std::uint64_t>(bytes, 32) != checksum(bytes.data()))
    return fail(Errc::protocol, 32, "frame checksum");
  if (*load<std::uint16_t>(bytes, 4) != kFrameVersion)
    return fail(Errc::unsupported, 4, "frame version");
  const auto type = *load<std::uint8_t>(bytes, 6);
  if (type < 1 || type > 7) return fail(Errc::malformed, 6, "frame type");
  if (*load<std::uint8_t>(bytes, 7) != 0 || *load<std::uint16_t>(bytes, 30) != 0)
    return fail(Errc::malformed, 7, "frame filling");
  Frame frame{.type = static_cast<FrameType>(type),
              .number = *load<std::uint64_t>(bytes, 8),
              .generation = *load<std::uint64_t>(bytes, 16),
              .length = *load<std::uint16_t>(bytes, 24),
              .part = *load<std::uint16_t>(bytes, 26),
              .parts = *load<std::uint16_t>(bytes, 28)};
  if (frame.length > kPartBytes) return fail(Errc::malformed, 24, "frame length");
  if (frame.parts == 0 || frame.part >= frame.parts)
    return fail(Errc::malformed, 26, "frame parts");
  std::copy_n(bytes.begin() + kPayload, kPartBytes, frame.payload.begin());
  if (std::any_of(frame.payload.begin() + frame.length, frame.payload.end(),
                  [](std::byte one) { return one != std::byte{0}; })) {
    return fail(Errc::malformed, kPayload + frame.length, "frame filling");
  }
  return frame;
}

}  // namespace vitrine::fvm
