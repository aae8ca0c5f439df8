#include "fvm/guard/guard.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "fvm/guard/employment.h"
#include "fvm/log_line.h"
#include "fvm/packet.h"
#include "machine/qemu_ram.h"

namespace vitrine::fvm {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
constexpr unsigned kMostNotes = 20;      ///< of one FVM
constexpr milliseconds kTurn{10};        ///< at most between two looks at the clock
constexpr milliseconds kLastWords{250};  ///< for what an FVM said that is let go

std::string dump(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string key_of(const symptom::Finding& finding) {
  return fmt::format("{}:{:016x}", finding.symptom.substr(0, 200), finding.identity);
}

std::int64_t nanoseconds_of(Guard::Time time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

Guard::Guard(Options options, FileDescriptor supervisor, Response response, Notebook notebook)
    : options_(std::move(options)),
      supervisor_(std::move(supervisor)),
      response_(std::move(response)),
      notebook_(std::move(notebook)),
      finding_rate_(options_.findings_per_second, options_.findings_per_second * 10,
                    std::chrono::steady_clock::now()) {}

Outcome<void> Guard::run() {
  auto done = watch();
  response_.leave();
  return done;
}

Outcome<void> Guard::watch() {
  // What was found before this guard was started is known: it is not found again.
  for (auto& open : TRY(notebook_.store().open_findings())) {
    known_[open.key] = {std::move(open.subject), open.severity, false};
  }
  TRY(take_up_responses());
  TRY(survey());
  auto last = std::chrono::steady_clock::now();
  while (true) {
    const auto before = std::chrono::steady_clock::now();
    auto wake = std::min(before + kTurn, next_status_);
    if (const auto next = response_.next()) wake = std::min(wake, *next);
    if (const auto next = wish_.next()) wake = std::min(wake, *next);
    const auto left =
        std::max<std::chrono::nanoseconds>(wake - before, std::chrono::nanoseconds(0));
    const timespec timeout{
        .tv_sec = 0,
        .tv_nsec = static_cast<long>(std::min<std::int64_t>(left.count(), 999'999'999))};
    pollfd ready[4] = {{supervisor_.get(), POLLIN, 0},
                       {response_.qmp().socket(), POLLRDHUP, 0},
                       {fvm_ && !fvm_->reported_bad ? fvm_->channel.get() : -1, POLLIN, 0},
                       {herald_ ? herald_.get() : -1, POLLIN, 0}};
    ::ppoll(ready, 4, &timeout, nullptr);
    const auto now = std::chrono::steady_clock::now();
    // Whoever did not get a CPU in time has not heard the others: it is no sign of theirs.
    const std::chrono::nanoseconds since = now - last;
    auto late = std::max<std::chrono::nanoseconds>(since - 2 * kTurn, std::chrono::nanoseconds(0));
    last = now;
    if (ready[0].revents != 0) {
      const auto stay = hear_supervisor();
      if (!stay || !*stay) (void)notebook_.flush();
      if (!TRY(stay)) return {};
    }
    if ((ready[1].revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0) {
      if (fvm_) (void)hear_fvm(now, kLastWords);  // its last words
      (void)notebook_.flush();
      return std::unexpected(Problem(Errc::vanished, "the guest is gone"));
    }
    if (ready[3].revents != 0) hear_herald(now);
    if (fvm_) {
      const bool heard_all = ready[2].revents == 0 || hear_fvm(now, kTurn);
      // A heartbeat may stand behind what was not heard yet.
      if (!heard_all) late = since;
      watch_fvm(now, late, heard_all);
    }
    // First what was done is written, then it goes on: a throttled machine is not stopped before a
    // guard that comes later can know why.
    notebook_.tick(now);
    if (const auto told = response_.tick(now))
      write_action(told->action, told->words, false, {}, true);
    if (now >= next_status_) {
      next_status_ = now + std::chrono::seconds(1);
      const auto state = response_.status();
      if (!state && state.error().code == Errc::vanished) return std::unexpected(state.error());
      if (!state && state.error().code != Errc::invalid)
        return std::unexpected(
            Problem(Errc::timeout, fmt::format("the guest's monitor: {}", state.error().message)));
      note_monitor(state ? std::string() : state.error().message);
      report_status(now);
    }
  }
}

/// What the guard before this one did to the machine holds, and is this one's to go on with: a
/// throttled machine that nobody lets run stands for ever. By the records of this very machine,
/// and as far as findings that stand, and the policy as it is now, ask for it.
Outcome<void> Guard::take_up_responses() {
  if (options_.policy.dry_run) return {};
  std::uint32_t applied = 0;
  bool decided = false;  // what comes before it has no say in whether the machine runs
  TRY(notebook_.store().read_back(evidence::Kind::action, [&](const evidence::Entry& entry) {
    const auto body = Json::parse(entry.body, nullptr, false);
    if (!body.is_object() || body.value("machine", Json()) != options_.machine) return false;
    const bool done = body.value("done", Json()) == true;
    const bool freeze = done && entry.subject == name(Action::freeze);
    const bool throttle =
        entry.subject == name(Action::throttle) && (done || body.value("ended", Json()) == true);
    if (done && entry.subject == name(Action::isolate)) applied |= kIsolated;
    if (!decided && freeze) applied |= kFrozen;
    if (!decided && throttle && done) applied |= kThrottled;
    decided = decided || freeze || throttle;
    return true;
  }));
  const bool asked = std::ranges::any_of(known_, [&](const auto& one) {
    const auto actions = options_.policy.actions(
        one.second.symptom, static_cast<symptom::Severity>(one.second.severity));
    return std::ranges::find(actions, Action::throttle) != actions.end();
  });
  const auto now = std::chrono::steady_clock::now();
  TRY(response_.take_up(applied, options_.policy, now));
  // Nobody asks for it any more: it is left running.
  if ((applied & kThrottled) != 0 && !asked) response_.end_throttling();
  return {};
}

void Guard::write_action(Action action, std::string_view words, bool done, std::string_view because,
                         bool ended) {
  Json body = {{"words", words}};
  if (ended) {
    body["ended"] = true;
  } else {
    body["done"] = done;
    body["dry_run"] = options_.policy.dry_run;
    body["because"] = because;
  }
  body["machine"] = options_.machine;
  notebook_.write(evidence::Kind::action, std::string(name(action)), dump(body));
}

/// A monitor that refuses an answer (libvirt is being restarted) costs no FVM: it is noted, and
/// what the policy asks for meanwhile is told as failed.
void Guard::note_monitor(const std::string& trouble) {
  if (trouble == monitor_trouble_) return;
  if (trouble.empty() || monitor_trouble_.empty())
    notebook_.write(
        evidence::Kind::watcher, "monitor",
        dump({{"words", trouble.empty() ? std::string("the guest's monitor answers again")
                                        : fmt::format("the guest's monitor: {}", trouble)}}));
  monitor_trouble_ = trouble;
}

/// Asks the guest's QEMU where RAM lies, and tells the supervisor, who alone can open it.
Outcome<void> Guard::survey() {
  const auto ranges = TRY(ask_memory_map(response_.qmp()));
  if (ranges.size() > kMostRanges)
    return std::unexpected(Problem(Errc::too_large, "the guest's RAM has too many ranges"));
  auto packet = std::make_unique<RangesPacket>();
  packet->type = PacketType::survey;
  packet->ranges = static_cast<std::uint32_t>(ranges.size());
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    packet->range[i] = {ranges[i].range.start.value, ranges[i].range.size, ranges[i].hva.value, 0,
                        0};
  }
  TRY(send_packet(supervisor_.get(), packet_bytes(*packet)));
  return {};
}

/// @returns false: leave.
Outcome<bool> Guard::hear_supervisor() {
  while (true) {
    auto packet = receive_packet(supervisor_.get(), sizeof(RangesPacket));
    if (!packet) return std::unexpected(Problem(Errc::vanished, "the supervisor is gone"));
    if (!*packet) return true;
    const Bytes bytes = (*packet)->bytes;
    const auto type = load<std::uint32_t>(bytes, 0);
    if (type == static_cast<std::uint32_t>(PacketType::leave)) return false;
    if (const auto layout = ranges_packet(bytes, PacketType::layout)) {
      take_layout(*layout, std::move((*packet)->descriptors));
    } else if (packet_as<WordsPacket>(bytes) && (*packet)->descriptors.size() == 1) {
      herald_ = std::move((*packet)->descriptors[0]);
    } else if (const auto threads = packet_as<ThreadsPacket>(bytes)) {
      if (fvm_ && fvm_->generation == threads->generation)
        fvm_->waits = WaitAccount(std::move((*packet)->descriptors));
    } else if (const auto employment = packet_as<EmployPacket>(bytes)) {
      if (const auto done = employ(*employment, std::move((*packet)->descriptors)); !done) {
        const BadPacket bad{.cause = Cause::never,
                            .generation = employment->generation,
                            .since_ns = nanoseconds_of(std::chrono::steady_clock::now())};
        notebook_.write(evidence::Kind::watcher, "fvm",
                        dump({{"words", fmt::format("an FVM could not take the guest: {}",
                                                    done.error().message)}}));
        (void)send_packet(supervisor_.get(), packet_bytes(bad));
      }
    }
  }
}

void Guard::take_layout(const RangesPacket& packet, std::vector<FileDescriptor> files) {
  layout_.clear();
  files_.clear();
  cpu_share_ = packet.cpu_share;
  for (std::size_t i = 0; i < files.size() && i < kMostRamFiles; ++i) {
    files_.push_back({packet.kinds[i] == 0 ? RamFile::Kind::shared : RamFile::Kind::process,
                      std::move(files[i])});
  }
  for (std::size_t i = 0; i < packet.ranges; ++i) {
    const auto& range = packet.range[i];
    layout_.push_back({{Gpa{range.start}, range.size}, range.file, range.place});
  }
}

Outcome<void> Guard::employ(const EmployPacket& packet, std::vector<FileDescriptor> descriptors) {
  // What the one before said and nobody read yet still counts.
  if (fvm_ && !fvm_->reported_bad) (void)hear_fvm(std::chrono::steady_clock::now(), kLastWords);
  fvm_.reset();
  attached_ = false;
  if (descriptors.size() != 3)
    return std::unexpected(Problem(Errc::protocol, "an FVM comes with three descriptors"));
  auto page = TRY(ControlPage::adopt(std::move(descriptors[1])));
  Orders orders{.generation = packet.generation, .cpu_share = cpu_share_};
  orders.segments = TRY(hand_over(packet.isolation, layout_, files_, std::move(descriptors[2])));
  const auto now = std::chrono::steady_clock::now();
  fvm_ = std::make_unique<Employed>(
      Employed{packet.generation, packet.isolation, std::move(descriptors[0]), std::move(page),
               std::move(orders),
               FvmWatch(packet.generation,
                        WatchLimits::of(packet.isolation, options_.emulated,
                                        std::clamp(packet.patience, 1U, 16U)),
                        now),
               WaitAccount(), packet.lost_ns, packet.cause});
  TRY(fvm_->page.write_with_canary(fvm_->orders));
  fvm_->watch.plant(fvm_->orders, fvm_->page.area(), now);
  for (auto& [key, known] : known_) known.confirmed = false;
  return {};
}

bool Guard::hear_fvm(Time now, milliseconds most) {
  std::vector<Message> messages;
  std::array<std::byte, 64 * 1024> buffer;
  // A bounded time: a flood must not keep the guard from its clock, nor the FVM's heart waiting for
  // room in the channel.
  while (std::chrono::steady_clock::now() - now < most) {
    const auto got = ::recv(fvm_->channel.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0) return true;
    messages.clear();
    fvm_->watch.take(Bytes(buffer).first(static_cast<std::size_t>(got)), now, messages);
    for (const auto& message : messages) handle(message, now);
    if (fvm_->watch.bad()) break;
  }
  return false;
}

/// Each byte means that something happened; what it says is nobody's business here.
void Guard::hear_herald(Time now) {
  std::array<std::byte, 4096> words;
  const auto got = ::read(herald_.get(), words.data(), words.size());
  if (got > 0)
    wish_.hear(now);
  else if (got == 0 || errno != EAGAIN)
    herald_.reset();
}

void Guard::watch_fvm(Time now, std::chrono::nanoseconds late, bool heard_all) {
  auto& fvm = *fvm_;
  if (fvm.reported_bad) return;
  std::chrono::nanoseconds waited{};
  if (fvm.watch.is_late(now))
    waited = fvm.waits.waited(now);
  else
    fvm.waits.rest();
  fvm.watch.tick(now, late, waited);
  if (const auto cause = fvm.watch.bad()) {
    fvm.reported_bad = true;
    refused_ += fvm.watch.refused();
    if (!fvm.watch.detail().empty())
      log_line("vitrine-guard", fmt::format("{}: FVM {}: {}{}", options_.guest, fvm.generation,
                                            fvm.watch.detail(), fvm.waits.words()));
    const BadPacket bad{.cause = *cause,
                        .generation = fvm.generation,
                        .since_ns = nanoseconds_of(fvm.watch.last_good())};
    (void)send_packet(supervisor_.get(), packet_bytes(bad));
    return;
  }
  if (fvm.watch.watching() && !fvm.announced) {
    fvm.announced = true;
    (void)send_packet(supervisor_.get(), packet_bytes(WatchedPacket{.generation = fvm.generation}));
    Json body = {{"words", fmt::format("FVM {} ({}) watches", fvm.generation, name(fvm.isolation))},
                 {"generation", fvm.generation}};
    if (fvm.lost_ns != 0) {
      const auto gap = static_cast<double>(nanoseconds_of(now) - fvm.lost_ns) / 1e6;
      body["words"] = fmt::format("FVM {} ({}) took over after {:.0f} ms: {}", fvm.generation,
                                  name(fvm.isolation), gap, words(fvm.cause));
      body["gap_ms"] = gap;
    }
    notebook_.write(evidence::Kind::watcher, "fvm", dump(body));
  }
  if (fvm.watch.watching() && wish_.take(now)) {
    ++fvm.orders.look_round;
    (void)fvm.page.write(fvm.orders);
  }
  // Heartbeats that are still on their way must not be taken for ones that came after the
  // challenge.
  if (heard_all && fvm.watch.wants_canary(now)) {
    if (fvm.page.write_with_canary(fvm.orders)) fvm.watch.plant(fvm.orders, fvm.page.area(), now);
  }
}

void Guard::handle(const Message& message, Time now) {
  if (const auto* seen = std::get_if<FindingSeen>(&message)) {
    found(seen->finding, now);
  } else if (const auto* lost = std::get_if<FindingGone>(&message)) {
    gone(key_of(lost->finding), &lost->finding);
  } else if (std::holds_alternative<Completion>(message)) {
    // Everything was looked for: what was known and did not come again is gone.
    std::vector<std::string> over;
    for (const auto& [key, known] : known_) {
      if (!known.confirmed) over.push_back(key);
    }
    for (const auto& key : over) gone(key, nullptr);
  } else if (const auto* note = std::get_if<Note>(&message)) {
    // Words of an FVM: kept, but not without end.
    if (++fvm_->notes <= kMostNotes) {
      notebook_.write(evidence::Kind::watcher, "note",
                      dump({{"words", note->text}, {"generation", fvm_->generation}}));
    }
  } else if (const auto* begin = std::get_if<Begin>(&message)) {
    attached_ = true;
    if (kernel_ != begin->kernel) {
      kernel_ = begin->kernel;
      // As often as findings may come: the words are the FVM's.
      if (!finding_rate_.take(now))
        ++refused_;
      else
        notebook_.write(
            evidence::Kind::watcher, "kernel",
            dump({{"words", fmt::format("the guest runs {}", kernel_)}, {"kernel", kernel_}}));
    }
    for (auto& [key, known] : known_) known.confirmed = false;
  }
}

void Guard::found(const symptom::Finding& finding, Time now) {
  const auto key = key_of(finding);
  const auto severity = static_cast<std::uint8_t>(finding.severity);
  if (const auto known = known_.find(key); known != known_.end()) {
    known->second.confirmed = true;
    return;
  }
  if (known_.size() >= options_.most_findings || !finding_rate_.take(now)) {
    ++refused_;
    return;
  }
  known_[key] = {finding.symptom, severity, true};
  ++findings_;
  // What must not wait for a disk is done first.
  const auto actions = options_.policy.actions(finding.symptom, finding.severity);
  std::vector<std::pair<Action, Outcome<std::string>>> done;
  const auto act = [&](Action action) {
    if (action == Action::log) return;
    ++actions_;
    done.emplace_back(action, options_.policy.dry_run
                                  ? Outcome<std::string>("dry run: it would have been done")
                                  : response_.apply(action, options_.policy, now));
  };
  for (const auto action : actions) {
    if (action == Action::freeze || action == Action::throttle || action == Action::isolate)
      act(action);
  }
  Json body = {{"words", finding.message.empty() ? finding.summary : finding.message},
               {"generation", fvm_->generation},
               {"isolation", name(fvm_->isolation)},
               {"finding", Json::parse(symptom::to_json(finding), nullptr, false)}};
  notebook_.write(evidence::Kind::finding, finding.symptom, dump(body), key, severity);
  for (const auto action : actions) {
    if (action != Action::snapshot && action != Action::stop) continue;
    (void)notebook_.flush();
    act(action);
  }
  for (const auto& [action, outcome] : done) {
    write_action(action, outcome ? *outcome : fmt::format("failed: {}", outcome.error().message),
                 outcome.has_value() && !options_.policy.dry_run, key);
  }
}

void Guard::gone(const std::string& key, const symptom::Finding* finding) {
  const auto known = known_.find(key);
  if (known == known_.end()) return;
  Json body = {{"words", fmt::format("{} is no longer there", known->second.symptom)}};
  if (finding != nullptr) body["finding"] = Json::parse(symptom::to_json(*finding), nullptr, false);
  notebook_.write(evidence::Kind::gone, known->second.symptom, dump(body), key,
                  known->second.severity);
  known_.erase(known);
}

void Guard::report_status(Time) {
  StatusPacket status{.standing = known_.size(),
                      .findings = findings_,
                      .actions = actions_,
                      .waiting = notebook_.waiting(),
                      .refused = refused_,
                      .entries = notebook_.store().sequence(),
                      .head = notebook_.store().head(),
                      .attached = attached_ ? 1U : 0U,
                      .applied = response_.applied()};
  if (fvm_) {
    const auto& heartbeat = fvm_->watch.heartbeat();
    status.phase = static_cast<std::uint32_t>(heartbeat.phase);
    status.generation = fvm_->generation;
    status.passes = heartbeat.passes;
    status.pass_ns = heartbeat.pass_ns;
    status.cpu_ns = heartbeat.cpu_ns;
    status.longest_silence_ns = static_cast<std::uint64_t>(fvm_->watch.longest_silence().count());
    status.kept_waiting_ns = static_cast<std::uint64_t>(fvm_->watch.kept_waiting().count());
  }
  (void)send_packet(supervisor_.get(), packet_bytes(status));
  if (refused_ != refused_written_) {
    notebook_.write(
        evidence::Kind::loss, "findings",
        dump({{"words", fmt::format("{} findings or frames were too many and were not written",
                                    refused_ - refused_written_)},
              {"refused", refused_ - refused_written_}}));
    refused_written_ = refused_;
  }
}

}  // namespace vitrine::fvm
