// Messages: what frames add up to, on the guard's side of the channel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fvm/verdict/frame.h"
#include "symptom/finding.h"

namespace vitrine::fvm {

/// What an FVM is doing.
enum class Phase : std::uint8_t {
  standby = 0,    ///< no guest
  attaching = 1,  ///< looking for the guest's kernel
  no_kernel = 2,  ///< there is none (yet); looks again every second
  scanning = 3,   ///< a pass is on
  resting = 4,    ///< between passes
};
[[nodiscard]] std::string_view name(Phase phase) noexcept;

struct Heartbeat {
  std::uint64_t counter = 0;    ///< one more each time, from 1
  std::uint64_t progress = 0;   ///< one more at each of the engine's steps
  std::uint64_t passes = 0;     ///< finished, of this assignment
  std::uint64_t pass_ns = 0;    ///< what the last one took
  std::uint64_t cpu_ns = 0;     ///< CPU time of the whole FVM process
  std::uint64_t engine_ns = 0;  ///< CPU time of the engine's thread alone
  std::uint32_t standing = 0;   ///< findings
  std::uint32_t dropped = 0;    ///< findings beyond the engine's bound
  Phase phase = Phase::standby;

  bool operator==(const Heartbeat&) const = default;
};

/// Every symptom was looked for once in this assignment; what stands has been reported.
struct Completion {
  std::uint64_t passes = 0;  ///< finished until then
  std::uint32_t standing = 0;
  bool operator==(const Completion&) const = default;
};

struct FindingSeen {
  symptom::Finding finding;
};
struct FindingGone {
  symptom::Finding finding;
};
struct CanaryAnswer {
  symptom::Finding finding;
};
struct Note {
  std::string text;
};
/// Attached to a kernel; the findings that stood before are to be forgotten unless they come again.
struct Begin {
  std::string kernel;
};
using Message =
    std::variant<Heartbeat, Completion, FindingSeen, FindingGone, CanaryAnswer, Note, Begin>;

[[nodiscard]] std::vector<std::byte> save(const Heartbeat& heartbeat);
[[nodiscard]] std::vector<std::byte> save(const Completion& completion);
[[nodiscard]] Result<Heartbeat> load_heartbeat(Bytes bytes);
[[nodiscard]] Result<Completion> load_completion(Bytes bytes);

/// Cuts `bytes` into frames, numbered from `next_number` on, which moves on.
/// `bytes` over symptom::kMaxFindingBytes are not sent: an empty answer.
[[nodiscard]] std::vector<Frame> frames_of(FrameType type, Bytes bytes, std::uint64_t generation,
                                           std::uint64_t& next_number);

/// Puts frames together again. Keeps one unfinished message at most, of at most
/// kMaxFindingBytes: a liar cannot make it grow. Heartbeats may stand between the parts of
/// another message; parts of two other messages may not mix.
class Assembler {
 public:
  /// @returns a message, or nothing yet.
  /// @returns protocol   a frame's number is not the next: one was lost or repeated
  /// @returns malformed  parts that do not belong together; a payload that is not what its type
  /// says
  /// @returns too_large  more than a finding may have
  /// After an error the channel is of no use: give up on this FVM.
  [[nodiscard]] Result<std::optional<Message>> take(const Frame& frame);

  /// Of the last frame taken.
  [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }

 private:
  [[nodiscard]] Result<std::optional<Message>> finish();

  std::uint64_t number_ = 0;
  std::uint64_t generation_ = 0;
  bool begun_ = false;
  FrameType type_ = FrameType::heartbeat;
  std::uint16_t part_ = 0, parts_ = 0;
  std::vector<std::byte> bytes_;
};

}  // namespace vitrine::fvm
