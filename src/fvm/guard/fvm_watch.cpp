#include "fvm/guard/fvm_watch.h"

#include "fvm/canary.h"

namespace vitrine::fvm {

WatchLimits WatchLimits::of(Isolation isolation, bool emulated) {
  using std::chrono::milliseconds;
  WatchLimits limits;
  if (isolation == Isolation::microvm) {
    limits.silent = milliseconds(emulated ? 350 : 150);
    limits.canary_late = milliseconds(emulated ? 400 : 200);
    limits.canary_every = milliseconds(emulated ? 100 : 50);
    limits.scan_late = milliseconds(emulated ? 10'000 : 2'000);
    limits.attach_late = milliseconds(emulated ? 60'000 : 10'000);
    limits.first = milliseconds(emulated ? 8'000 : 3'000);
    limits.attach_most = milliseconds(emulated ? 300'000 : 60'000);
  }
  return limits;
}

void FvmWatch::condemn(Cause cause) {
  if (!bad_) bad_ = cause;
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
  const auto attaches = [](Phase phase) { return phase == Phase::attaching; };
  if (!attaches(heartbeat.phase)) attaching_since_ = now;
  heartbeat_ = heartbeat;
  beat_ = now;
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
  answered_ = now;
  last_good_ = now;
  watching_ = true;
}

void FvmWatch::plant(const Orders& orders, std::span<const std::byte> area, Time now) {
  planted_ = answer_canary(orders, area);
  planted_round_ = orders.canary_round;
  planted_at_ = now;
}

void FvmWatch::tick(Time now, std::chrono::nanoseconds late) {
  if (bad_) return;
  beat_ += late;
  answered_ += late;
  employed_ += late;
  planted_at_ += late;
  if (!watching_) {
    if (now - employed_ > limits_.first) condemn(Cause::never);
    return;
  }
  if (now - beat_ > limits_.silent) return condemn(Cause::silent);
  const bool attaches = heartbeat_.phase == Phase::attaching;
  if (attaches && now - attaching_since_ > limits_.attach_most) return condemn(Cause::stuck);
  const auto patience = attaches                              ? limits_.attach_late
                        : heartbeat_.phase == Phase::scanning ? limits_.scan_late
                                                              : limits_.canary_late;
  if (planted_ && now - planted_at_ > patience) condemn(Cause::stuck);
}

}  // namespace vitrine::fvm
