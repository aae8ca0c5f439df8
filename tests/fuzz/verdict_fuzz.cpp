// A compromised FVM owns every byte of its verdict channel: frames, their order, the findings in
// them. Input: bytes as they come over the channel. The last bytes of each frame are repaired
// where the first byte says so, so that mutations reach behind the checksum.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "fvm/guard/fvm_watch.h"
#include "fvm/verdict/frame.h"

using namespace vitrine;
using namespace vitrine::fvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool repair = (data[0] & 1) != 0;
  const Bytes input = std::as_bytes(std::span(data + 1, size - 1));
  FvmWatch::Time now{std::chrono::hours(1)};
  FvmWatch watch(1, WatchLimits{}, now);
  std::vector<Message> messages;
  for (std::size_t at = 0; at < input.size(); at += kFrameBytes) {
    const auto piece = input.subspan(at, std::min(kFrameBytes, input.size() - at));
    now += std::chrono::milliseconds(1);
    if (!repair || piece.size() < 64) {
      watch.take(piece, now, messages);
      continue;
    }
    // The same content in a frame that is well-formed outside.
    Frame frame{
        .type = static_cast<FrameType>(1 + static_cast<std::uint8_t>(piece[0]) % 7),
        .number = 1 + at / kFrameBytes,
        .generation = 1,
        .length = static_cast<std::uint16_t>(std::min<std::size_t>(piece.size() - 4, kPartBytes)),
        .part = static_cast<std::uint16_t>(static_cast<std::uint8_t>(piece[1]) % 4),
        .parts = static_cast<std::uint16_t>(1 + static_cast<std::uint8_t>(piece[2]) % 4)};
    std::copy_n(piece.begin() + 4, frame.length, frame.payload.begin());
    watch.take(encode(frame), now, messages);
  }
  for (const auto& message : messages) {
    if (const auto* seen = std::get_if<FindingSeen>(&message))
      (void)symptom::to_json(seen->finding);
  }
  return 0;
}
