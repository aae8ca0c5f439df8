#include "fvm/verdict/message.h"

#include <algorithm>

namespace vitrine::fvm {
namespace {

template <class T>
void put(std::vector<std::byte>& bytes, T value) {
  const auto at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

bool is_finding(FrameType type) {
  return type == FrameType::finding || type == FrameType::gone || type == FrameType::canary;
}

}  // namespace

std::string_view name(Phase phase) noexcept {
  switch (phase) {
    case Phase::standby:
      return "standby";
    case Phase::attaching:
      return "attaching";
    case Phase::no_kernel:
      return "no kernel";
    case Phase::scanning:
      return "scanning";
    case Phase::resting:
      return "resting";
  }
  return "unknown";
}

std::vector<std::byte> save(const Heartbeat& heartbeat) {
  std::vector<std::byte> bytes;
  for (const auto value : {heartbeat.counter, heartbeat.progress, heartbeat.passes,
                           heartbeat.pass_ns, heartbeat.cpu_ns, heartbeat.engine_ns}) {
    put(bytes, value);
  }
  put(bytes, heartbeat.standing);
  put(bytes, heartbeat.dropped);
  put(bytes, static_cast<std::uint8_t>(heartbeat.phase));
  return bytes;
}

Result<Heartbeat> load_heartbeat(Bytes bytes) {
  if (bytes.size() != 57) return fail(Errc::malformed, bytes.size(), "heartbeat length");
  Heartbeat heartbeat{.counter = *load<std::uint64_t>(bytes, 0),
                      .progress = *load<std::uint64_t>(bytes, 8),
                      .passes = *load<std::uint64_t>(bytes, 16),
                      .pass_ns = *load<std::uint64_t>(bytes, 24),
                      .cpu_ns = *load<std::uint64_t>(bytes, 32),
                      .engine_ns = *load<std::uint64_t>(bytes, 40),
                      .standing = *load<std::uint32_t>(bytes, 48),
                      .dropped = *load<std::uint32_t>(bytes, 52)};
  const auto phase = *load<std::uint8_t>(bytes, 56);
  if (phase > static_cast<std::uint8_t>(Phase::resting))
    return fail(Errc::malformed, 56, "heartbeat phase");
  heartbeat.phase = static_cast<Phase>(phase);
  return heartbeat;
}

std::vector<std::byte> save(const Completion& completion) {
  std::vector<std::byte> bytes;
  put(bytes, completion.passes);
  put(bytes, completion.standing);
  return bytes;
}

Result<Completion> load_completion(Bytes bytes) {
  if (bytes.size() != 12) return fail(Errc::malformed, bytes.size(), "completion length");
  return Completion{.passes = *load<std::uint64_t>(bytes, 0),
                    .standing = *load<std::uint32_t>(bytes, 8)};
}

std::vector<Frame> frames_of(FrameType type, Bytes bytes, std::uint64_t generation,
                             std::uint64_t& next_number) {
  if (bytes.size() > symptom::kMaxFindingBytes) return {};
  const auto parts = std::max<std::size_t>(1, (bytes.size() + kPartBytes - 1) / kPartBytes);
  std::vector<Frame> frames;
  frames.reserve(parts);
  for (std::size_t part = 0; part < parts; ++part) {
    const auto piece =
        bytes.subspan(part * kPartBytes, std::min(kPartBytes, bytes.size() - part * kPartBytes));
    Frame frame{.type = type,
                .number = next_number++,
                .generation = generation,
                .length = static_cast<std::uint16_t>(piece.size()),
                .part = static_cast<std::uint16_t>(part),
                .parts = static_cast<std::uint16_t>(parts)};
    std::copy(piece.begin(), piece.end(), frame.payload.begin());
    frames.push_back(frame);
  }
  return frames;
}

Result<std::optional<Message>> Assembler::take(const Frame& frame) {
  if (number_ != 0 && frame.number != number_ + 1)
    return fail(Errc::protocol, frame.number, "frame number");
  number_ = frame.number;
  generation_ = frame.generation;
  if (!is_finding(frame.type)) {
    if (frame.parts != 1) return fail(Errc::malformed, frame.parts, "parts of a short message");
    switch (frame.type) {
      case FrameType::heartbeat:
        return Message(TRY(load_heartbeat(frame.part_bytes())));
      case FrameType::complete:
        return Message(TRY(load_completion(frame.part_bytes())));
      default:
        break;
    }
    const auto text = frame.part_bytes();
    std::string words(reinterpret_cast<const char*>(text.data()), text.size());
    if (frame.type == FrameType::begin) return Message(Begin{std::move(words)});
    return Message(Note{std::move(words)});
  }
  if (!begun_) {
    if (frame.part != 0) return fail(Errc::malformed, frame.part, "first part");
    if (std::size_t{frame.parts} * kPartBytes > symptom::kMaxFindingBytes + kPartBytes) {
      return fail(Errc::too_large, frame.parts, "parts of a finding");
    }
    begun_ = true;
    type_ = frame.type;
    part_ = 0;
    parts_ = frame.parts;
    bytes_.clear();
  } else if (frame.type != type_ || frame.parts != parts_ || frame.part != part_) {
    return fail(Errc::malformed, frame.part, "next part");
  }
  const bool last = frame.part + 1 == parts_;
  if (!last && frame.length != kPartBytes)
    return fail(Errc::malformed, frame.length, "part length");
  const auto piece = frame.part_bytes();
  bytes_.insert(bytes_.end(), piece.begin(), piece.end());
  ++part_;
  if (!last) return std::nullopt;
  begun_ = false;
  return finish();
}

Result<std::optional<Message>> Assembler::finish() {
  auto finding = TRY(symptom::load_finding(bytes_));
  switch (type_) {
    case FrameType::finding:
      return Message(FindingSeen{std::move(finding)});
    case FrameType::gone:
      return Message(FindingGone{std::move(finding)});
    default:
      return Message(CanaryAnswer{std::move(finding)});
  }
}

}  // namespace vitrine::fvm
