#include "fvm/guard/fvm_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "fvm/canary.h"

namespace vitrine::fvm {

namespace {

constexpr std::chrono::milliseconds kBeat{20};  ///< between heartbeats, as Sensor::beat() has it
constexpr std::chrono::milliseconds kLate{30};  ///< after a heartbeat, or a step
constexpr unsigned kOnTheirWay = 3;             ///< heartbeats, at most
/// Less CPU time than this between two looks is none: who is blocked may wake to see that he is.
constexpr std::uint64_t kNothingNs = 1'000'000;

}  // namespace

WatchLimits WatchLimits::of(Isolation isolation, bool emulated, unsigned patience) {
  using std::chrono::milliseconds;
  WatchLimits limits;
  if (isolation == Isolation::microvm) {
    limits.silent = milliseconds(emulated ? 300 : 150);
    limits.canary_every = milliseconds(emulated ? 100 : 50);
    // Under TCG the guest's clock of CPU time is the host's wall, and all work ten times as long.
    limits.step = milliseconds(emulated ? 350 : 120);
    limits.still = milliseconds(emulated ? 300 : 150);
    limits.canary_most = milliseconds(emulated ? 10'000 : 4'000);
    limits.first = milliseconds(emulated ? 8'000 : 3'000);
    limits.attach_most = milliseconds(emulated ? 300'000 : 60'000);
  }
  for (auto* limit : {&limits.silent, &limits.step, &limits.still, &limits.canary_most})
    *limit *= patience;
  return limits;
}

void FvmWatch::condemn(Cause cause, std::string_view what, std::chrono::nanoseconds time) {
  if (bad_) return;
  bad_ = cause;
  if (!what.empty())
    detail_ = fmt::format("{}, {:.0f} ms, {}", what, static_cast<double>(time.count()) / 1e6,
                          name(heartbeat_.phase));
}

void FvmWatch::take(Bytes bytes, Time now, std::vector<Message>& messages) {
  rest_.insert(rest_.end(), bytes.begin(), bytes.end());
  std::size_t done = 0;
  for (; !bad_ && rest_.size() - done >= kFrameBytes; done += kFrameBytes) {
    if (!rate_.take(now)) {
      ++refused_;
      condemn(Cause::flooded);
      break;
    }
    const auto frame = decode(Bytes(rest_).subspan(done, kFrameBytes));
    if (!frame) {
      ++refused_;
      condemn(Cause::protocol);
      break;
    }
    auto message = assembler_.take(*frame);
    if (!message) {
      ++refused_;
      condemn(message.error().code == Errc::protocol ? Cause::forged : Cause::protocol);
      break;
    }
    if (!*message) continue;
    if (const auto* heartbeat = std::get_if<Heartbeat>(&**message)) {
      check(*heartbeat, now);
    } else if (const auto* answer = std::get_if<CanaryAnswer>(&**message)) {
      check(*answer, frame->generation, now);
    } else if (frame->generation == generation_) {
      messages.push_back(std::move(**message));
    } else if (frame->generation != 0) {
      condemn(Cause::forged);  // it was never assigned that
    }
  }
  if (bad_)
    rest_.clear();
  else
    rest_.erase(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(done));
}

void FvmWatch::check(const Heartbeat& heartbeat, Time now) {
  // A standby's first beats may still be on their way; from then on each is one more.
  if (heartbeat_.counter != 0 && heartbeat.counter != heartbeat_.counter + 1)
    return condemn(Cause::forged);
  if (heartbeat.progress < heartbeat_.progress || heartbeat.cpu_ns < heartbeat_.cpu_ns)
    return condemn(Cause::forged);
  if (heartbeat.engine_ns < heartbeat_.engine_ns) return condemn(Cause::forged);
  if (heartbeat.phase != Phase::attaching) attaching_since_ = now;
  // A heart that beats late could not have a CPU either: that excuses the engine as long.
  if (now - beat_ > 2 * kBeat) moved_ += now - beat_ - kBeat;
  const bool stepped = heartbeat.progress != heartbeat_.progress;
  if (stepped || heartbeat_.counter == 0) stepped_ns_ = heartbeat.engine_ns;
  if (stepped || heartbeat.engine_ns - moved_ns_ >= kNothingNs) {
    moved_ = now;
    moved_ns_ = heartbeat.engine_ns;
  }
  heartbeat_ = heartbeat;
  if (watching_ && heartbeat.engine_ns - stepped_ns_ >
                       static_cast<std::uint64_t>(std::chrono::nanoseconds(limits_.step).count()))
    return condemn(Cause::stuck, "CPU time in one step",
                   std::chrono::nanoseconds(heartbeat.engine_ns - stepped_ns_));
  // The first ones after planting may have been on their way before. From then on, two more steps
  // are one whole look at the control page.
  if (planted_ && watching_) {
    if (++beats_since_planted_ == kOnTheirWay) progress_when_planted_ = heartbeat.progress;
    if (beats_since_planted_ > kOnTheirWay && heartbeat.progress - progress_when_planted_ > 2)
      return condemn(Cause::stuck, "steps without an answer", now - planted_at_);
  }
  if (watching_) longest_silence_ = std::max(longest_silence_, now - heard_);
  heard_ = beat_ = now;
  last_good_ = now;
}

void FvmWatch::check(const CanaryAnswer& answer, std::uint64_t generation, Time now) {
  if (generation != generation_) return;  // of its time as a standby
  if (answer.finding.identity > planted_round_) return condemn(Cause::forged);
  if (!planted_ || answer.finding.identity < planted_round_) return;  // late for an older one
  if (answer.finding.symptom != kCanarySymptom || answer.finding.addresses != planted_->addresses ||
      answer.finding.bytes != planted_->bytes) {
    return condemn(Cause::forged);
  }
  planted_.reset();
  last_good_ = now;
  if (!watching_) heard_ = now;
  watching_ = true;
}

void FvmWatch::plant(const Orders& orders, std::span<const std::byte> area, Time now) {
  planted_ = answer_canary(orders, area);
  planted_round_ = orders.canary_round;
  planted_at_ = now;
  beats_since_planted_ = 0;
}

bool FvmWatch::is_late(Time now) const {
  return !bad_ && watching_ && (now - beat_ > kLate || now - moved_ > kLate);
}

void FvmWatch::tick(Time now, std::chrono::nanoseconds late, std::chrono::nanoseconds waited) {
  if (bad_) return;
  // Both may have been at the same time: the longer one counts.
  const auto excused = std::max(late, waited);
  if (waited > late) kept_waiting_ += waited;
  beat_ = std::min(now, beat_ + excused);
  moved_ = std::min(now, moved_ + excused);
  employed_ += late;
  planted_at_ += late;
  if (!watching_) {
    if (now - employed_ > limits_.first) condemn(Cause::never);
    return;
  }
  if (now - beat_ > limits_.silent) return condemn(Cause::silent, "no heartbeat", now - heard_);
  if (beat_ - moved_ > limits_.still)
    return condemn(Cause::stuck, "neither a step nor CPU time", beat_ - moved_);
  if (planted_ && now - planted_at_ > limits_.canary_most)
    return condemn(Cause::stuck, "no answer", now - planted_at_);
  if (heartbeat_.phase == Phase::attaching && now - attaching_since_ > limits_.attach_most)
    condemn(Cause::stuck);
}

}  // namespace vitrine::fvm
