#include "probe/clock_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "probe/host_guest.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

class ClockFiring final : public HeldFiring {
 public:
  ClockFiring(std::shared_ptr<const vmipl::Program> whose, std::uint32_t which,
              std::optional<std::uint64_t> request)
      : whose_(std::move(whose)), request_(request) {
    probe = which;
    program = whose_.get();
    monotonic_ns = monotonic_now();
  }
  Told field(unsigned i) const override {
    return i == 0 && request_ ? Told::of(*request_) : Told{};
  }

 private:
  std::shared_ptr<const vmipl::Program> whose_;
  std::optional<std::uint64_t> request_;
};

std::uint64_t argument(const vmipl::ProgramProbe& probe) {
  return probe.arguments.empty() ? 0 : probe.arguments.front().number_value;
}

Offer in_an_image() {
  return Offer::refuse("an image is one moment: nothing happens in it",
                       "take the running machine; of an image Start (and Stop) run once, over its "
                       "views, memory and types");
}

}  // namespace

ClockSource::~ClockSource() { stop(); }

std::vector<Offer> ClockSource::offers(const vmipl::Program& program) const {
  std::vector<Offer> out;
  for (const auto& probe : program.probes) {
    const auto name = vmipl::probes()[probe.probe].name;
    const auto offer = [&](std::string mechanism) {
      out.push_back({true, CostClass::none, Coverage::every, std::move(mechanism), {}, {}});
    };
    if (name == "Start") {
      offer("when the script is attached");
    } else if (name == "Stop") {
      offer("when the script is detached");
    } else if (name == "Every" || name == "OnExternalRequest") {
      if (image_)
        out.push_back(in_an_image());
      else
        offer(name == "Every" ? "the host's clock"
                              : fmt::format("vitrine request VM {}", argument(probe)));
    } else {
      // Where it is the only one, the planner says that no source is at hand.
      out.push_back(image_ ? in_an_image() : Offer::refuse({}));
    }
  }
  return out;
}

void ClockSource::arm(const Assignment& mine) {
  mine_ = mine;
  timers_.clear();
  ++generation_;
  const auto now = monotonic_now();
  for (const auto index : mine.probes) {
    const auto& probe = mine.program->probes[index];
    if (vmipl::probes()[probe.probe].name != "Every") continue;
    const auto period = std::max<std::uint64_t>(argument(probe), 1'000'000);
    timers_.add(index, period, now);
  }
}

Outcome<void> ClockSource::start(Assignment mine, EventSink& sink) {
  stop();
  const std::lock_guard lock(mutex_);
  sink_ = &sink;
  ending_ = false;
  arm(mine);
  thread_ = std::thread([this] { run(); });
  return {};
}

Outcome<void> ClockSource::replace(Assignment mine) {
  {
    const std::lock_guard lock(mutex_);
    arm(mine);
  }
  wake_.notify_all();
  return {};
}

void ClockSource::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Losses ClockSource::losses() const {
  const std::lock_guard lock(mutex_);
  Losses out{.late = late_};
  if (late_ != 0)
    out.words.push_back(fmt::format("Every was due {} more time{} while a block ran", late_,
                                    late_ == 1 ? "" : "s"));
  return out;
}

std::size_t ClockSource::request(std::uint64_t number) {
  std::size_t found = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const auto index : mine_.probes) {
      const auto& probe = mine_.program->probes[index];
      found += vmipl::probes()[probe.probe].name == "OnExternalRequest" && argument(probe) == number
                   ? 1
                   : 0;
    }
    if (found != 0) requests_.push_back(number);
  }
  wake_.notify_all();
  return found;
}

void ClockSource::run() {
  std::unique_lock lock(mutex_);
  const auto fire = [&](std::uint32_t probe, std::optional<std::uint64_t> request) {
    auto* sink = sink_;
    ClockFiring firing(mine_.program, probe, request);
    lock.unlock();
    sink->fire(firing);
    lock.lock();
  };
  while (!ending_) {
    if (!requests_.empty()) {
      const auto number = requests_.front();
      requests_.erase(requests_.begin());
      const auto generation = generation_;
      const auto mine = mine_;
      for (const auto index : mine.probes) {
        const auto& probe = mine.program->probes[index];
        if (vmipl::probes()[probe.probe].name != "OnExternalRequest" || argument(probe) != number)
          continue;
        if (ending_ || generation != generation_) break;
        fire(index, number);
      }
      continue;
    }
    const auto due = timers_.wait(lock, wake_);
    if (!due) continue;
    late_ += due->missed;
    fire(due->probe, std::nullopt);
  }
}

}  // namespace vitrine::probe
