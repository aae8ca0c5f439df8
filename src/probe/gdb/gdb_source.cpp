#include "probe/gdb/gdb_source.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "linux/boot_watch.h"
#include "machine/gdb_link.h"
#include "machine/leftovers.h"
#include "probe/gdb/placement.h"
#include "probe/gdb/stops.h"

namespace vitrine::probe {
namespace {

using namespace std::chrono_literals;

class GdbSource final : public EventSource {
 public:
  GdbSource(const Machine& machine, GdbOptions options)
      : machine_(machine), options_(std::move(options)) {
    if (machine.process() != nullptr) monitor_.emplace(*machine.process());
  }
  ~GdbSource() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "gdbstub"; }
  [[nodiscard]] std::vector<Offer> offers(const vmipl::Program& program) const override;
  [[nodiscard]] std::vector<Excess> excess(const vmipl::Program& program,
                                           const std::vector<std::uint32_t>& probes) const override;
  [[nodiscard]] Outcome<void> start(Assignment mine, EventSink& sink) override;
  [[nodiscard]] Outcome<void> replace(Assignment mine) override;
  void stop() noexcept override;
  [[nodiscard]] Losses losses() const override;

 private:
  /// Between two turns of the thread, which lets whoever waits come first.
  class Between {
   public:
    explicit Between(const GdbSource& source) : source_(source) {
      ++source_.callers_;
      lock_ = std::unique_lock(source_.mutex_);
    }
    ~Between() {
      --source_.callers_;
      lock_.unlock();
      source_.wake_.notify_all();
    }
    Between(const Between&) = delete;
    Between& operator=(const Between&) = delete;

   private:
    const GdbSource& source_;
    std::unique_lock<std::mutex> lock_;
  };
  [[nodiscard]] Outcome<const linux::Kernel*> kernel() const;
  void run();
  bool turn();
  Outcome<void> after(const GdbStop& stop);
  Outcome<void> go_on();
  Outcome<void> reclaim();
  void end(std::string why);
  void leave() noexcept;

  const Machine& machine_;
  const GdbOptions options_;
  std::optional<Monitor> monitor_;
  mutable std::unique_ptr<linux::Kernel> kernel_;  ///< its own: a Kernel serves one thread
  EventSink* sink_ = nullptr;

  mutable std::mutex mutex_;  ///< held for each turn of the thread
  mutable std::condition_variable wake_;
  mutable std::atomic<unsigned> callers_{0};  ///< that wait for mutex_, or have it
  bool ending_ = false, ended_ = false;
  bool paused_ = false;  ///< somebody stopped the machine: it is theirs to let it run
  std::unique_ptr<Guardian> guardian_;
  std::unique_ptr<GdbLink> link_;
  std::unique_ptr<GdbClient> client_;
  std::unique_ptr<Stops> stops_;
  std::optional<linux::BootWatch> boot_;
  Losses lost_;
  std::thread thread_;
};

Outcome<const linux::Kernel*> GdbSource::kernel() const {
  if (!kernel_) kernel_ = TRY(linux::Kernel::attach(machine_, options_.attach));
  return kernel_.get();
}

std::vector<Offer> GdbSource::offers(const vmipl::Program& program) const {
  const Between turns(*this);
  Offer all;
  all.possible = true;
  if (!monitor_) {
    all = Offer::refuse("an image does not run", "attach to a running machine");
  } else if (!link_) {
    auto qmp = monitor_->talk();
    const auto is_free = qmp ? gdbstub_is_free(**qmp) : std::unexpected(std::move(qmp.error()));
    if (!is_free) all = Offer::refuse(is_free.error().message, is_free.error().hint);
  }
  if (all.possible) {
    if (const auto attached = kernel(); !attached)
      all = Offer::refuse(attached.error().message, attached.error().hint);
  }
  std::vector<Offer> out;
  for (std::uint32_t i = 0; i < program.probes.size(); ++i)
    out.push_back(all.possible ? place(*kernel_, program, i).offer : all);
  return out;
}

std::vector<EventSource::Excess> GdbSource::excess(const vmipl::Program& program,
                                                   const std::vector<std::uint32_t>& probes) const {
  // Under TCG there is no bound. A processor has four debug registers, of at most 8 bytes each.
  std::vector<Excess> out;
  if (!monitor_ || monitor_->process().options.accelerator.find("kvm") == std::string::npos ||
      !kernel_)
    return out;
  std::size_t watches = 0;
  for (const auto probe : probes) {
    const auto placed = place(*kernel_, program, probe);
    if (!placed.placement.watch) continue;
    const auto& watch = *placed.placement.watch;
    if (watch.length > 8 || (watch.length & (watch.length - 1)) != 0 ||
        watch.at.value % watch.length != 0) {
      out.push_back({probe, Offer::refuse("a processor watches 1, 2, 4 or 8 aligned bytes",
                                          "start the machine with the agent")});
    } else if (++watches > 4) {
      out.push_back({probe, Offer::refuse("a processor watches four places, and they are taken",
                                          "start the machine with the agent")});
    }
  }
  return out;
}

Outcome<void> GdbSource::start(Assignment mine, EventSink& sink) {
  stop();
  sink_ = &sink;
  lost_ = {};
  ending_ = ended_ = paused_ = false;
  if (mine.probes.empty()) return {};
  if (!monitor_) return std::unexpected(Problem(Errc::unsupported, "an image does not run"));
  for (auto& word : TRY(clear_leftovers(*monitor_)))
    sink.note({SourceNote::word, std::nullopt, std::move(word)});
  const auto* attached = TRY(kernel());
  guardian_ = TRY(Guardian::start(*monitor_));
  const auto begin = [&]() -> Outcome<void> {
    link_ = TRY(GdbLink::open(*monitor_, *guardian_));
    client_ = TRY(GdbClient::begin(link_->socket()));
    stops_ = std::make_unique<Stops>(*attached, *client_, sink, options_.settings);
    TRY(stops_->use(std::move(mine)));
    return client_->resume();
  };
  if (auto begun = begin(); !begun) {
    stops_.reset();
    client_.reset();
    link_.reset();
    guardian_.reset();
    return begun;
  }
  boot_.emplace(*kernel_);
  thread_ = std::thread([this] { run(); });
  return {};
}

Outcome<void> GdbSource::replace(Assignment mine) {
  if (!thread_.joinable()) return start(std::move(mine), *sink_);
  const Between turns(*this);  // the machine runs, or is paused
  if (ended_) return std::unexpected(Problem(Errc::vanished, "the gdbstub source has ended"));
  if (paused_) return stops_->use(std::move(mine));  // out of place until it runs
  const auto stopped = TRY(client_->interrupt());
  // What stopped it may be an event that came first.
  if (stopped.signal == 5) TRY(stops_->handle(stopped));
  auto used = stops_->use(std::move(mine));
  TRY(go_on());
  return used;
}

void GdbSource::stop() noexcept {
  {
    const Between turns(*this);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  leave();
  guardian_.reset();
}

/// Breakpoints out, and on; what was lost is kept.
void GdbSource::leave() noexcept {
  if (stops_) {
    const auto lost = stops_->losses();
    lost_.words.insert(lost_.words.end(), lost.words.begin(), lost.words.end());
    lost_.firings += lost.firings;
  }
  stops_.reset();
  client_.reset();
  link_.reset();
}

void GdbSource::run() {
  std::unique_lock lock(mutex_);
  while (!ending_ && !ended_) {
    if (!turn()) break;
    // Room for replace() and stop(), which wait for the lock and may not get it by themselves.
    wake_.wait(lock, [&] { return ending_ || callers_ == 0; });
    if (paused_) wake_.wait_for(lock, 50ms, [&] { return ending_ || callers_ != 0; });
  }
}

/// @returns false  the source has ended
bool GdbSource::turn() {
  if (paused_) {
    const auto reclaimed = reclaim();
    if (!reclaimed) end(reclaimed.error().message);
    return !ended_;
  }
  auto stop = client_->wait(20ms);
  if (!stop) {
    end(stop.error().message);
    return false;
  }
  if (*stop) {
    if (const auto done = after(**stop); !done) end(done.error().message);
    return !ended_;
  }
  if (stops_->wants_change()) {
    // A thinned probe has rested: its breakpoints go in again.
    auto interrupted = client_->interrupt();
    Outcome<void> done;
    if (!interrupted)
      done = std::unexpected(std::move(interrupted.error()));
    else
      done = after(*interrupted);
    if (!done) end(done.error().message);
    return !ended_;
  }
  if (!boot_->same()) {
    sink_->note({SourceNote::guest_reset, std::nullopt,
                 "the guest runs another kernel than before: its breakpoints mean nothing there"});
    ended_ = true;
    leave();
    return false;
  }
  return true;
}

Outcome<void> GdbSource::after(const GdbStop& stop) {
  if (stop.kind == GdbStop::exited)
    return std::unexpected(Problem(Errc::vanished, "the machine has ended"));
  constexpr int kTrap = 5, kInterrupt = 2;
  if (stop.signal == kTrap) {
    TRY(stops_->handle(stop));
  } else if (!(stop.signal == kInterrupt && stops_->wants_change())) {
    // Stopped by its owner, or for a reason of QEMU's: not ours to undo.
    paused_ = true;
    TRY(stops_->suspend());
    sink_->note({SourceNote::word, std::nullopt,
                 "the machine was paused: events go on a tenth of a second after it does"});
    return {};
  }
  TRY(stops_->change());
  return go_on();
}

Outcome<void> GdbSource::go_on() {
  if (stops_->take_stay()) {
    paused_ = true;  // Pause() in a block
    return stops_->suspend();
  }
  return client_->resume();
}

/// Whoever lets a paused machine run does it at the monitor, and QEMU then tells the gdbstub
/// nothing of what stops it. So nothing is in place while it is paused; once it runs it is stopped
/// for a moment, everything is put back, and it is let go by us.
Outcome<void> GdbSource::reclaim() {
  const auto runs = [&]() -> Outcome<bool> {
    const auto qmp = TRY(monitor_->talk());
    const auto status = TRY(qmp->execute("query-status"));
    return status.find("\"running\":true") != std::string::npos;
  };
  if (!TRY(runs())) return {};
  TRY(client_->interrupt_silently());
  bool stopped = false;
  for (int i = 0; i < 200 && !stopped; ++i) {
    std::this_thread::sleep_for(5ms);
    stopped = !TRY(runs());
  }
  if (!stopped) return std::unexpected(Problem(Errc::timeout, "the machine does not stop"));
  paused_ = false;
  TRY(client_->settle());
  TRY(stops_->resume());
  return go_on();
}

void GdbSource::end(std::string why) {
  if (ended_) return;
  ended_ = true;
  sink_->note(
      {SourceNote::source_ended, std::nullopt, fmt::format("the gdbstub source ends: {}", why)});
  leave();
}

Losses GdbSource::losses() const {
  const Between turns(*this);
  auto losses = lost_;
  if (stops_) {
    const auto more = stops_->losses();
    losses.firings += more.firings;
    losses.words.insert(losses.words.end(), more.words.begin(), more.words.end());
  }
  return losses;
}

}  // namespace

std::unique_ptr<EventSource> gdb_source(const Machine& machine, GdbOptions options) {
  return std::make_unique<GdbSource>(machine, std::move(options));
}

}  // namespace vitrine::probe
