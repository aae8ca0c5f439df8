#include "probe/streams/stream_source.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "machine/leftovers.h"
#include "machine/log_tap.h"
#include "probe/streams/stream.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

constexpr auto kLook = std::chrono::milliseconds(10);

struct Tapped {
  std::uint32_t probe;
  std::unique_ptr<Stream> stream;
};

/// Letters of the trace events that a stream lives on.
std::string_view events_of(std::string_view probe) {
  if (probe == "CaptureKeyboardInput") return "qnp";
  if (probe == "CaptureConsole") return "s";
  if (probe == "CaptureDisk") return "rw";
  return "";
}

bool same(const vmipl::ProgramProbe& one, const vmipl::Program& of_one,
          const vmipl::ProgramProbe& two, const vmipl::Program& of_two) {
  if (one.probe != two.probe || one.arguments != two.arguments) return false;
  const auto output = [](const vmipl::ProgramProbe& probe, const vmipl::Program& program) {
    return probe.output < program.outputs.size() ? program.outputs[probe.output] : vmipl::Output{};
  };
  return output(one, of_one) == output(two, of_two);
}

std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != std::string_view::npos;
       at = text.find(what, at + what.size()))
    ++count;
  return count;
}

class StreamSource final : public EventSource {
 public:
  explicit StreamSource(const Machine& machine) : machine_(machine) {
    if (machine.process() != nullptr) monitor_.emplace(*machine.process());
  }
  ~StreamSource() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "streams"; }
  [[nodiscard]] bool outlives_kernel() const noexcept override { return true; }
  [[nodiscard]] std::vector<Offer> offers(const vmipl::Program& program) const override;
  [[nodiscard]] Outcome<void> start(Assignment mine, EventSink& sink) override;
  [[nodiscard]] Outcome<void> replace(Assignment mine) override;
  void stop() noexcept override;
  [[nodiscard]] Losses losses() const override;

 private:
  [[nodiscard]] Offer offer(const vmipl::ProgramProbe& probe, Qmp& qmp) const;
  Outcome<Tapped> open(const vmipl::ProgramProbe& probe, std::uint32_t index);
  Outcome<void> open_log(const Assignment& mine);
  void run();
  void pump();
  [[nodiscard]] StreamOut out_of(std::uint32_t probe) {
    return [this, probe](std::string_view bytes) { sink_->stream(probe, bytes_of(bytes)); };
  }

  const Machine& machine_;
  std::optional<Monitor> monitor_;
  EventSink* sink_ = nullptr;
  std::unique_ptr<Guardian> guardian_;
  std::unique_ptr<LogTap> log_;
  std::string log_events_;
  std::vector<Tapped> streams_;
  Assignment mine_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::thread thread_;
  std::vector<std::string> lost_;
};

Offer StreamSource::offer(const vmipl::ProgramProbe& probe, Qmp& qmp) const {
  const auto& name = vmipl::probes()[probe.probe].name;
  Offer offer;
  offer.possible = true;
  const auto refuse = [](const Problem& problem) {
    return Offer::refuse(problem.message, problem.hint);
  };
  if (name == "CaptureNetwork") {
    const auto cards = cards_meant(qmp, probe);
    if (!cards) return refuse(cards.error());
    std::string names;
    for (const auto& card : *cards)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", card.name);
    offer.mechanism = fmt::format("QEMU's filter-dump at {}", names);
    return offer;
  }
  if (name == "CaptureScreen") {
    offer.mechanism = fmt::format("a picture by QEMU every {} ms",
                                  probe.arguments.at(0).number_value / 1'000'000);
    return offer;
  }
  if (const auto can = log_can_be_tapped(monitor_->process()); !can) return refuse(can.error());
  const auto state =
      qmp.execute("trace-event-get-state",
                  fmt::format(R"({{"name":"{}"}})", find_trace_event(events_of(name)[0])->name));
  if (!state)
    return Offer::refuse(
        fmt::format("this QEMU was built without the trace events that {} needs", name));
  if (name == "CaptureKeyboardInput") {
    offer.mechanism = "QEMU's trace of keys, through its log";
    return offer;
  }
  const auto tree = qmp.human("info qtree");
  if (!tree) return refuse(tree.error());
  if (name == "CaptureConsole") {
    const auto ports = count_of(*tree, "dev: isa-serial,") + count_of(*tree, "dev: pci-serial");
    if (ports == 0) return Offer::refuse("the machine has no serial port");
    if (ports > 1)
      return Offer::refuse(fmt::format(
          "the machine has {} serial ports, and QEMU's trace does not say which one sends", ports));
    offer.mechanism = "QEMU's trace of the serial port, through its log";
    return offer;
  }
  if (probe.arguments.at(0).kind != vmipl::ProbeArgument::pattern) {
    return Offer::refuse("QEMU's trace of reads and writes does not name the disk",
                         "CaptureDisk(*, ...) takes them all together");
  }
  offer.mechanism = "QEMU's trace of reads and writes, through its log";
  offer.reason = "where and how much, not what";
  return offer;
}

std::vector<Offer> StreamSource::offers(const vmipl::Program& program) const {
  std::vector<Offer> out;
  std::unique_ptr<Qmp> qmp;
  std::optional<Problem> no_monitor;
  for (const auto& probe : program.probes) {
    const auto& info = vmipl::probes()[probe.probe];
    if (info.kind != vmipl::ProbeKind::stream) {
      out.push_back(Offer::refuse(fmt::format("{} is no stream", info.name)));
      continue;
    }
    if (!monitor_) {
      out.push_back(Offer::refuse("an image has no streams", "attach to a running machine"));
      continue;
    }
    if (!qmp && !no_monitor) {
      if (auto talked = monitor_->talk())
        qmp = std::move(*talked);
      else
        no_monitor = std::move(talked.error());
    }
    out.push_back(qmp ? offer(probe, *qmp) : Offer::refuse(no_monitor->message, no_monitor->hint));
  }
  return out;
}

Outcome<Tapped> StreamSource::open(const vmipl::ProgramProbe& probe, std::uint32_t index) {
  const auto& name = vmipl::probes()[probe.probe].name;
  if (name == "CaptureNetwork")
    return Tapped{index, TRY(network_stream(*monitor_, *guardian_, probe))};
  if (name == "CaptureScreen") return Tapped{index, TRY(screen_stream(*monitor_, probe))};
  if (name == "CaptureKeyboardInput") return Tapped{index, keyboard_stream()};
  if (name == "CaptureConsole") return Tapped{index, console_stream()};
  if (name == "CaptureDisk") return Tapped{index, disk_stream()};
  return std::unexpected(Problem(Errc::unsupported, fmt::format("{} is no stream", name)));
}

Outcome<void> StreamSource::open_log(const Assignment& mine) {
  std::string events;
  for (const auto index : mine.probes) {
    for (const char letter : events_of(vmipl::probes()[mine.program->probes[index].probe].name)) {
      if (events.find(letter) == std::string::npos) events += letter;
    }
  }
  if (events == log_events_) return {};
  log_.reset();
  log_events_.clear();
  if (events.empty()) return {};
  log_ = TRY(LogTap::open(*monitor_, *guardian_, events));
  log_events_ = events;
  return {};
}

Outcome<void> StreamSource::start(Assignment mine, EventSink& sink) {
  stop();
  sink_ = &sink;
  lost_.clear();
  ending_ = false;
  if (mine.probes.empty()) return {};
  if (!monitor_) return std::unexpected(Problem(Errc::unsupported, "an image has no streams"));
  for (auto& word : TRY(clear_leftovers(*monitor_)))
    sink.note({SourceNote::word, std::nullopt, std::move(word)});
  guardian_ = TRY(Guardian::start(*monitor_));
  const auto clean_up = [&] {
    streams_.clear();
    log_.reset();
    log_events_.clear();
    guardian_.reset();
  };
  for (const auto index : mine.probes) {
    auto tapped = open(mine.program->probes[index], index);
    if (!tapped) {
      clean_up();
      return std::unexpected(std::move(tapped.error()));
    }
    streams_.push_back(std::move(*tapped));
  }
  if (auto opened = open_log(mine); !opened) {
    clean_up();
    return std::unexpected(std::move(opened.error()));
  }
  if (log_) {
    for (const auto& word : log_->words()) sink.note({SourceNote::word, std::nullopt, word});
  }
  mine_ = std::move(mine);
  thread_ = std::thread([this] { run(); });
  return {};
}

Outcome<void> StreamSource::replace(Assignment mine) {
  if (!thread_.joinable()) return start(std::move(mine), *sink_);
  const std::lock_guard lock(mutex_);
  // What both programs have goes on without a gap; the rest is opened before anything is closed.
  std::vector<Tapped> fresh;
  std::vector<std::pair<std::size_t, std::uint32_t>> kept;
  std::vector<bool> used(streams_.size(), false);
  for (const auto index : mine.probes) {
    const auto& probe = mine.program->probes[index];
    bool found = false;
    for (std::size_t i = 0; i < streams_.size() && !found; ++i) {
      if (used[i] ||
          !same(mine_.program->probes[streams_[i].probe], *mine_.program, probe, *mine.program))
        continue;
      used[i] = found = true;
      kept.emplace_back(i, index);
    }
    if (!found) fresh.push_back(TRY(open(probe, index)));
  }
  pump();
  if (auto opened = open_log(mine); !opened) {
    (void)open_log(mine_);  // the old one runs on
    return opened;
  }
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (used[i]) continue;
    streams_[i].stream->finish(out_of(streams_[i].probe));
    for (auto& word : streams_[i].stream->losses()) lost_.push_back(std::move(word));
  }
  for (const auto& [place, index] : kept)
    fresh.push_back({index, std::move(streams_[place].stream)});
  streams_ = std::move(fresh);
  mine_ = std::move(mine);
  return {};
}

void StreamSource::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const auto& tapped : streams_) {
    for (auto& word : tapped.stream->losses()) lost_.push_back(std::move(word));
  }
  streams_.clear();
  log_.reset();
  log_events_.clear();
  guardian_.reset();
}

void StreamSource::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kLook, [&] { return ending_; })) {
    pump();
    if (machine_.alive()) continue;
    sink_->note({SourceNote::source_ended, std::nullopt, "the machine is gone: its streams end"});
    break;
  }
  pump();
  for (const auto& tapped : streams_) tapped.stream->finish(out_of(tapped.probe));
}

void StreamSource::pump() {
  if (log_) {
    const auto lines = log_->take_lines();
    const auto now = wall_now_ns();
    for (const auto& text : lines) {
      const auto line = parse_trace_line(text);
      if (!line) continue;
      for (const auto& tapped : streams_) tapped.stream->line(*line, now, out_of(tapped.probe));
    }
  }
  for (const auto& tapped : streams_) tapped.stream->pump(out_of(tapped.probe));
}

Losses StreamSource::losses() const {
  const std::lock_guard lock(mutex_);
  Losses losses;
  losses.words = lost_;
  return losses;
}

}  // namespace

std::unique_ptr<EventSource> stream_source(const Machine& machine) {
  return std::make_unique<StreamSource>(machine);
}

}  // namespace vitrine::probe
