// ClockSource: the host's clock and the user as sources of events: Start, Stop, Every,
// OnExternalRequest. Costs the guest nothing.
//
// Start and Stop are the session's own (before the first and after the last event); this
// source offers them, so that a plan is whole, and fires the other two.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "probe/event_source.h"
#include "probe/timers.h"

namespace vitrine::probe {

class ClockSource final : public EventSource {
 public:
  /// @param image  nothing ever happens in an image: Every and requests are refused
  explicit ClockSource(bool image) : image_(image) {}
  ~ClockSource() override;

  std::string_view name() const noexcept override { return "clock"; }
  [[nodiscard]] bool outlives_kernel() const noexcept override { return true; }
  std::vector<Offer> offers(const vmipl::Program& program) const override;
  Outcome<void> start(Assignment mine, EventSink& sink) override;
  Outcome<void> replace(Assignment mine) override;
  void stop() noexcept override;
  Losses losses() const override;

  /// The user sends request `number`. @returns how many probes fire for it
  std::size_t request(std::uint64_t number);

 private:
  void run();
  void arm(const Assignment& mine);

  const bool image_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Assignment mine_;
  Timers timers_;
  std::vector<std::uint64_t> requests_;  ///< not yet fired
  EventSink* sink_ = nullptr;
  bool ending_ = false;
  std::uint64_t late_ = 0;  ///< firings of Every that were due while another ran
  std::uint64_t generation_ = 0;
  std::thread thread_;
};

}  // namespace vitrine::probe
