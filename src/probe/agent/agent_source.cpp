#include "probe/agent/agent_source.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "probe/agent/agent_firing.h"
#include "probe/agent/agent_link.h"
#include "probe/agent/agent_planner.h"
#include "probe/agent/memory_devices.h"
#include "probe/agent/ring.h"
#include "probe/agent/throttle.h"
#include "probe/maps.h"
#include "probe/moment_fill.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
constexpr auto kAnswerLimit = 10s;
constexpr auto kMemoryPeriod = 2s;
constexpr int kBusyMs = 1, kQuietMs = 8;

class Source;

/// The program's maps, at the other end of the socket.
class RemoteMaps final : public MapStore {
 public:
  RemoteMaps(Source& source, const vmipl::Program& program)
      : shapes_(program.maps), source_(source) {}
  std::optional<std::uint64_t> get(unsigned map, Keys keys) noexcept override;
  std::optional<std::size_t> get_text(unsigned map, Keys keys,
                                      std::span<char> into) noexcept override;
  void set(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    if (kept_) return kept_->set(map, keys, value);
    (void)ask(MapRequest::set, map, keys, ValueView::of(value));
  }
  void set_text(unsigned map, Keys keys, std::string_view value) noexcept override {
    if (kept_) return kept_->set_text(map, keys, value);
    (void)ask(MapRequest::set_text, map, keys, ValueView::of(value));
  }
  void add(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    if (kept_) return kept_->add(map, keys, value);
    (void)ask(MapRequest::add, map, keys, ValueView::of(value));
  }
  void update(unsigned map, Keys keys, std::uint64_t value) noexcept override {
    if (kept_) return kept_->update(map, keys, value);
    (void)ask(MapRequest::update, map, keys, ValueView::of(value));
  }
  void remove(unsigned map, Keys keys) noexcept override {
    if (kept_) return kept_->remove(map, keys);
    (void)ask(MapRequest::remove, map, keys);
  }
  void clear(unsigned map) noexcept override {
    if (kept_) return kept_->clear(map);
    (void)ask(MapRequest::clear, map, {});
  }
  std::uint64_t length(unsigned map) noexcept override;
  std::vector<MapRow> snapshot(unsigned map) override;
  std::uint64_t lost(unsigned map) override;

  /// The agent forgets its program's maps with the program: from here on they are a copy.
  void keep();
  /// Which load of this connection its program was; until then, what runs.
  void belongs_to(std::uint64_t generation) { generation_ = generation; }

 private:
  std::optional<MapReply> ask(MapRequest::Operation operation, unsigned map, Keys keys,
                              ValueView value = {}) noexcept;
  std::vector<vmipl::MapInfo> shapes_;
  std::unique_ptr<LocalMaps> kept_;
  std::atomic<std::uint64_t> generation_{0};
  Source& source_;
};

class Source final : public AgentSource {
 public:
  Source(AgentLink link, const QemuProcess& process, const linux::Kernel& kernel,
         AgentSourceOptions options)
      : link_(std::move(link)),
        process_(process),
        kernel_(kernel),
        options_(options),
        planner_(kernel, link_.welcome()) {}
  ~Source() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "agent"; }

  [[nodiscard]] std::vector<Offer> offers(const vmipl::Program& program) const override {
    std::vector<Offer> offers;
    for (std::uint32_t i = 0; i < program.probes.size(); ++i) {
      if (vmipl::probes()[program.probes[i].probe].kind != vmipl::ProbeKind::event)
        offers.push_back(Offer::refuse("the agent serves events"));
      else
        offers.push_back(planner_.look_at(program, i).offer);
    }
    return offers;
  }

  Outcome<void> start(Assignment mine, EventSink& sink) override {
    stop();
    sink_ = &sink;
    return load(std::move(mine));
  }

  Outcome<void> replace(Assignment mine) override {
    if (sink_ == nullptr)
      return std::unexpected(Problem(Errc::invalid, "the agent runs no program"));
    return load(std::move(mine));
  }

  void stop() noexcept override;
  [[nodiscard]] Losses losses() const override;
  [[nodiscard]] MapStore* maps(const vmipl::Program& program) override {
    // The one that runs, the one before and the one to come.
    while (maps_.size() > 4) maps_.pop_front();
    maps_.push_back(std::make_unique<RemoteMaps>(*this, program));
    return maps_.back().get();
  }
  /// What the running program's maps hold, before it goes.
  void keep_maps();

  /// Sends a request and waits for its answer. From any thread.
  Outcome<Message> request(MessageKind kind, Bytes body, MessageKind answer,
                           FileDescriptor* descriptor = nullptr);

 private:
  Outcome<void> load(Assignment mine);
  void pump();
  bool drain_rings();
  void handle(AgentLink::Received received);
  void run_held();
  void watch_memory(std::stop_token end);
  void fire(Bytes body);
  Outcome<void> send(MessageKind kind, Bytes body) {
    const std::lock_guard lock(send_mutex_);
    return link_.send(kind, body);
  }

  AgentLink link_;
  QemuProcess process_;
  const linux::Kernel& kernel_;
  AgentSourceOptions options_;
  AgentPlanner planner_;
  EventSink* sink_ = nullptr;
  std::deque<std::unique_ptr<RemoteMaps>> maps_;
  RemoteMaps* running_maps_ = nullptr;  ///< of the program that runs
  std::uint64_t loads_ = 0;             ///< as the agent counts them
  std::atomic<bool> running_{false};

  std::mutex send_mutex_;
  std::mutex request_mutex_;  ///< one request at a time
  std::mutex answer_mutex_;
  std::condition_variable answered_;
  std::optional<MessageKind> wanted_;
  std::optional<AgentLink::Received> answer_;
  std::string refusal_;
  bool refused_ = false;
  bool gone_ = false;  ///< the agent

  std::thread pump_;
  std::atomic<bool> ending_{false};
  std::deque<AgentLink::Received> later_;  ///< events that came while the pump waited for an answer

  std::thread holder_;  ///< runs the blocks of held events
  std::mutex held_mutex_;
  std::condition_variable held_came_;
  std::deque<std::vector<std::byte>> held_;
  bool held_ending_ = false;

  std::jthread memory_watch_;
  std::mutex devices_mutex_;
  std::string devices_;  ///< the memory devices that the agent was told of

  mutable std::mutex rings_mutex_;
  RingMemory rings_;
  std::vector<RingReader> readers_;
  RingMemory old_rings_;  ///< of the program before; drained once more
  std::vector<RingReader> old_readers_;
  std::uint64_t lost_before_ = 0;
  bool broken_told_ = false;
  std::vector<std::byte> record_;
  std::optional<AgentLosses> last_losses_;
};

Outcome<Message> Source::request(MessageKind kind, Bytes body, MessageKind answer,
                                 FileDescriptor* descriptor) {
  const std::lock_guard one_at_a_time(request_mutex_);
  const auto until = Clock::now() + kAnswerLimit;
  const auto words = [](const Message& message) {
    return std::string(reinterpret_cast<const char*>(message.body.data()), message.body.size());
  };
  const bool on_pump = std::this_thread::get_id() == pump_.get_id();
  if (on_pump || !pump_.joinable()) {
    TRY(send(kind, body));
    for (;;) {
      auto received = TRY(link_.receive(until));
      if (received.message.kind == MessageKind::refused)
        return std::unexpected(Problem(Errc::invalid, words(received.message)));
      if (received.message.kind != answer) {
        later_.push_back(std::move(received));
        continue;
      }
      if (descriptor != nullptr) *descriptor = std::move(received.descriptor);
      return std::move(received.message);
    }
  }
  std::unique_lock lock(answer_mutex_);
  if (gone_) return std::unexpected(Problem(Errc::vanished, "the agent is gone"));
  wanted_ = answer;
  answer_.reset();
  refused_ = false;
  lock.unlock();
  TRY(send(kind, body));
  lock.lock();
  const bool done = answered_.wait_until(lock, until, [&] { return answer_ || refused_ || gone_; });
  wanted_.reset();
  if (gone_) return std::unexpected(Problem(Errc::vanished, "the agent is gone"));
  if (!done) return std::unexpected(Problem(Errc::timeout, "the agent does not answer"));
  if (refused_) return std::unexpected(Problem(Errc::invalid, refusal_));
  if (descriptor != nullptr) *descriptor = std::move(answer_->descriptor);
  return std::move(answer_->message);
}

Outcome<void> Source::load(Assignment mine) {
  AgentPlan plan;
  plan.program = vmipl::save(*mine.program);
  for (const auto index : mine.probes) {
    auto made = planner_.look_at(*mine.program, index);
    if (!made.offer.possible) {
      return std::unexpected(
          Problem(Errc::unsupported,
                  fmt::format("line {}: {}", mine.program->probes[index].line, made.offer.reason),
                  made.offer.remedy));
    }
    plan.probes.push_back(std::move(made.probe));
  }
  auto ram = TRY(ask_machine_ram(process_));
  plan.ram = std::move(ram.ranges);
  const auto root = kernel_.memory().root();
  plan.kernel = {root.table.value, static_cast<std::uint8_t>(root.levels),
                 kernel_.identity().page_table_isolation};
  const auto moments = save(fill_moment_layout(kernel_).layout);
  plan.moments.assign(moments.begin(), moments.end());
  plan.held_limit_ms = options_.held_limit_ms;
  plan.ring_bytes = options_.ring_bytes;
  plan.rate_limit =
      settings_of(options_.settings, *mine.program).rate_limit.value_or(Throttle::kByTime);
  if (const auto registers = kernel_.machine().registers()) {
    for (const auto& cpu : *registers) {
      for (const auto value : {cpu.idtr.base.value, std::uint64_t{cpu.idtr.limit},
                               cpu.gdtr.base.value, std::uint64_t{cpu.gdtr.limit}})
        plan.tables.push_back(value);
    }
  }
  FileDescriptor memory;
  keep_maps();
  const auto message =
      TRY(request(MessageKind::load, encode_plan(plan), MessageKind::loaded, &memory));
  const auto loaded = decode_message<Loaded>(message.body);
  if (!loaded) return std::unexpected(Problem(Errc::protocol, "the agent's answer is none"));
  if (!loaded->ok)
    return std::unexpected(
        Problem(Errc::unsupported, fmt::format("the agent refuses: {}", loaded->why)));
  auto rings = TRY(RingMemory::open(std::move(memory), loaded->rings));
  {
    const std::lock_guard lock(rings_mutex_);
    for (const auto& reader : old_readers_) lost_before_ += reader.lost();
    old_rings_ = std::move(rings_);
    old_readers_ = std::move(readers_);
    rings_ = std::move(rings);
    readers_.clear();
    for (std::size_t i = 0; i < rings_.count(); ++i) readers_.emplace_back(rings_, i);
  }
  running_ = true;
  running_maps_ = maps_.empty() ? nullptr : maps_.back().get();
  ++loads_;
  if (running_maps_ != nullptr) running_maps_->belongs_to(loads_);
  {
    const std::lock_guard lock(devices_mutex_);
    devices_ = std::move(ram.devices);
  }
  if (!pump_.joinable()) {
    ending_ = false;
    held_ending_ = false;
    pump_ = std::thread([this] { pump(); });
    holder_ = std::thread([this] { run_held(); });
    memory_watch_ = std::jthread([this](std::stop_token end) { watch_memory(std::move(end)); });
  }
  return {};
}

void Source::stop() noexcept {
  if (!pump_.joinable()) return;
  memory_watch_ = {};
  if (running_) {
    if (const auto last = request(MessageKind::losses, {}, MessageKind::losses_reply); last) {
      if (const auto losses = decode_message<AgentLosses>(last->body)) last_losses_ = *losses;
    }
    keep_maps();
    (void)request(MessageKind::unload, {}, MessageKind::unloaded);
  }
  running_ = false;
  ending_ = true;
  {
    const std::lock_guard lock(held_mutex_);
    held_ending_ = true;
  }
  held_came_.notify_one();
  holder_.join();
  pump_.join();
  pump_ = {};
  sink_ = nullptr;
}

bool Source::drain_rings() {
  const std::lock_guard lock(rings_mutex_);
  bool any = false;
  for (auto* readers : {&old_readers_, &readers_}) {
    for (auto& reader : *readers) {
      // A bounded share of each: a CPU that floods its ring must not starve the others.
      for (unsigned i = 0; i < 4096; ++i) {
        const auto took = reader.take(record_);
        if (took == RingReader::Took::record) {
          any = true;
          sink_->records(record_);
          continue;
        }
        if (took == RingReader::Took::broken && !broken_told_) {
          broken_told_ = true;
          sink_->note({SourceNote::source_ended, std::nullopt,
                       "the agent's ring makes no sense: its records end here"});
        }
        break;
      }
    }
  }
  return any;
}

void Source::pump() {
  while (true) {
    const bool ending = ending_;
    const bool any = drain_rings();
    if (ending && !any) return;
    while (!later_.empty()) {
      auto one = std::move(later_.front());
      later_.pop_front();
      handle(std::move(one));
    }
    auto received = link_.receive(
        Clock::now() + std::chrono::milliseconds(any ? 0 : (running_ ? kBusyMs : kQuietMs)));
    if (received) {
      handle(std::move(*received));
      continue;
    }
    if (received.error().code == Errc::timeout) continue;
    {
      const std::lock_guard lock(answer_mutex_);
      gone_ = true;
    }
    answered_.notify_all();
    if (!ending_) sink_->note({SourceNote::source_ended, std::nullopt, received.error().message});
    while (drain_rings()) {
    }
    running_ = false;
    return;
  }
}

void Source::handle(AgentLink::Received received) {
  switch (received.message.kind) {
    case MessageKind::held: {
      // Not on this thread: the block, or another that runs just now, may ask for a map, whose
      // answer comes by way of this one.
      const std::lock_guard lock(held_mutex_);
      held_.push_back(std::move(received.message.body));
      held_came_.notify_one();
      return;
    }
    case MessageKind::note: {
      const auto note = decode_message<AgentNote>(received.message.body);
      if (note && note->kind <= SourceNote::source_ended) {
        sink_->note({static_cast<SourceNote::Kind>(note->kind),
                     note->probe == AgentNote::kNoProbe ? std::nullopt : std::optional(note->probe),
                     note->text});
      }
      return;
    }
    default:
      break;
  }
  const std::lock_guard lock(answer_mutex_);
  if (wanted_ && received.message.kind == *wanted_) {
    answer_ = std::move(received);
  } else if (wanted_ && received.message.kind == MessageKind::refused) {
    refusal_.assign(reinterpret_cast<const char*>(received.message.body.data()),
                    received.message.body.size());
    refused_ = true;
  }
  answered_.notify_all();
}

void Source::run_held() {
  std::unique_lock lock(held_mutex_);
  for (;;) {
    held_came_.wait(lock, [&] { return !held_.empty() || held_ending_; });
    if (held_.empty()) return;
    const auto body = std::move(held_.front());
    held_.pop_front();
    lock.unlock();
    fire(body);
    lock.lock();
  }
}

// The agent reads only where it was told that RAM is.
void Source::watch_memory(std::stop_token end) {
  std::mutex mutex;
  std::condition_variable_any wake;
  for (;;) {
    {
      std::unique_lock lock(mutex);
      if (wake.wait_for(lock, end, kMemoryPeriod, [&] { return end.stop_requested(); })) return;
    }
    const auto now = ask_memory_devices(process_);
    if (!now || !running_) continue;
    {
      const std::lock_guard lock(devices_mutex_);
      if (*now == devices_) continue;
    }
    auto ram = ask_machine_ram(process_);
    if (!ram || !request(MessageKind::ram, encode(ram->ranges), MessageKind::ram_known)) continue;
    {
      const std::lock_guard lock(devices_mutex_);
      devices_ = std::move(ram->devices);
    }
    sink_->note({SourceNote::word, std::nullopt,
                 "memory was plugged or unplugged: the agent knows where RAM is now"});
  }
}

void Source::fire(Bytes body) {
  const auto held = decode_message<Held>(body);
  if (!held) return;
  AgentFiring::Write write;
  if ((link_.welcome().can & Welcome::write_code) != 0) {
    write = [this](const HeldWrite& what) -> Outcome<void> {
      TRY(request(MessageKind::write, encode(what), MessageKind::wrote));
      return {};
    };
  }
  AgentFiring firing(*held, (link_.welcome().can & Welcome::write_registers) != 0,
                     std::move(write));
  // What the CPUs wrote before comes before.
  (void)drain_rings();
  sink_->fire(firing);
  (void)send(MessageKind::release, encode(firing.release()));
}

Losses Source::losses() const {
  Losses losses;
  {
    const std::lock_guard lock(rings_mutex_);
    losses.records = lost_before_;
    for (const auto& reader : old_readers_) losses.records += reader.lost();
    for (const auto& reader : readers_) losses.records += reader.lost();
  }
  auto last = last_losses_;
  if (running_) {
    if (const auto message =
            const_cast<Source*>(this)->request(MessageKind::losses, {}, MessageKind::losses_reply);
        message) {
      if (const auto now = decode_message<AgentLosses>(message->body)) last = *now;
    }
  }
  if (last) {
    losses.firings = last->firings + last->late;
    if (last->firings != 0)
      losses.words.push_back(
          fmt::format("{} firings were thinned: too many for the guest", last->firings));
    if (last->late != 0)
      losses.words.push_back(fmt::format(
          "{} firings were given up: the host did not run their block in time", last->late));
    if (last->over_budget != 0)
      losses.words.push_back(
          fmt::format("{} firings ran over their budget and were ended", last->over_budget));
  }
  if (losses.records != 0)
    losses.words.push_back(fmt::format("{} records found no room in a ring", losses.records));
  return losses;
}

std::optional<MapReply> RemoteMaps::ask(MapRequest::Operation operation, unsigned map, Keys keys,
                                        ValueView value) noexcept {
  MapRequest request;
  request.operation = operation;
  request.map = map;
  request.generation = generation_;
  for (const auto& key : keys) request.keys.emplace_back(key);
  request.value = value;
  const auto message = source_.request(MessageKind::map, encode(request), MessageKind::map_reply);
  if (!message) return std::nullopt;
  auto reply = decode_message<MapReply>(message->body);
  if (!reply || !reply->there) return std::nullopt;
  return std::move(*reply);
}

void RemoteMaps::keep() {
  if (kept_) return;
  auto made = LocalMaps::create(shapes_);
  if (!made) return;
  for (unsigned i = 0; i < shapes_.size(); ++i) {
    const auto lost_so_far = lost(i);
    (*made)->restore(i, snapshot(i), lost_so_far);
  }
  kept_ = std::move(*made);
}

void Source::keep_maps() {
  if (!running_ || maps_.empty()) return;
  // The last but one if another program's are asked for already.
  for (auto& maps : maps_) {
    if (maps.get() == running_maps_) maps->keep();
  }
}

std::optional<std::uint64_t> RemoteMaps::get(unsigned map, Keys keys) noexcept {
  if (kept_) return kept_->get(map, keys);
  const auto reply = ask(MapRequest::get, map, keys);
  return reply ? std::optional(reply->number) : std::nullopt;
}
std::optional<std::size_t> RemoteMaps::get_text(unsigned map, Keys keys,
                                                std::span<char> into) noexcept {
  if (kept_) return kept_->get_text(map, keys, into);
  const auto reply = ask(MapRequest::get_text, map, keys);
  if (!reply) return std::nullopt;
  const auto size = std::min(reply->text.size(), into.size());
  std::copy_n(reply->text.begin(), size, into.begin());
  return size;
}
std::uint64_t RemoteMaps::length(unsigned map) noexcept {
  if (kept_) return kept_->length(map);
  const auto reply = ask(MapRequest::length, map, {});
  return reply ? reply->number : 0;
}
std::vector<MapRow> RemoteMaps::snapshot(unsigned map) {
  if (kept_) return kept_->snapshot(map);
  auto reply = ask(MapRequest::snapshot, map, {});
  return reply ? std::move(reply->rows) : std::vector<MapRow>{};
}
std::uint64_t RemoteMaps::lost(unsigned map) {
  if (kept_) return kept_->lost(map);
  const auto reply = ask(MapRequest::lost, map, {});
  return reply ? reply->number : 0;
}

}  // namespace

Outcome<std::unique_ptr<AgentSource>> AgentSource::open(const QemuProcess& process,
                                                        const linux::Kernel& kernel,
                                                        AgentSourceOptions options) {
  const auto path = find_agent_socket(process.pid);
  if (!path) {
    return std::unexpected(Problem(Errc::not_found,
                                   fmt::format("{} runs without the agent", process.name()),
                                   "add what `vitrine qemu-args` prints to its command line"));
  }
  auto link = TRY(AgentLink::connect(*path));
  if (link.welcome().pid != static_cast<std::uint32_t>(process.pid))
    return std::unexpected(
        Problem(Errc::protocol, fmt::format("what listens at {} is another process", *path)));
  return std::make_unique<Source>(std::move(link), process, kernel, options);
}

}  // namespace vitrine::probe
